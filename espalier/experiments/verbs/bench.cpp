// SPDX-License-Identifier: Apache-2.0
/// `espalier bench`: how fast networks train and run here, sparse against our own dense in turns.
#include <sys/resource.h>

#include <memory>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/parallel.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/needs.h>
#include <espalier/experiments/settings/options.h>
#include <espalier/experiments/timing/layer_times.h>
#include <espalier/experiments/timing/step_bench.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::experiments::verbs {
namespace {

using Json = nlohmann::ordered_json;

struct BenchFlags {
  GivenOptions given;
  bool json = false;
};

/// The largest resident size of this process so far, in bytes.
double peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

std::vector<Option> bench_options(timing::Job job) {
  std::vector<Option> out;
  for (const Option& option : model_options()) {
    if (option.name == "model") out.push_back(option);
  }
  const std::vector<Option> own = {
      text_option(
          "weights",
          "",
          "Take a network with its masks from this file, safetensors or .edc; --model names the "
          "network of a file from elsewhere."),
      masks_from_zeros_option(),
      integer_option("batch", 128, 1, 65536, "samples", "Samples at once."),
      real_option(
          "sparsity", 0.0, 0.0, 1.0, "fraction removed", "Of a random mask; 0: dense only."),
      text_option("pattern", "unstructured", "What is removed together."),
      choice_option("allocation",
                    {"uniform", "erk", "er", "uniform-dense-first"},
                    "Densities of the layers of a random mask."),
      integer_option("rounds", 5, 1, 1000, "", "Rounds; each side is timed once a round."),
      real_option("round-seconds", 1.0, 0.0, 600.0, "s", "Length of a side's round."),
      integer_option("seed", 0, 0, 1e9, "", "Of the weights and the mask."),
  };
  out.insert(out.end(), own.begin(), own.end());
  if (job == timing::Job::Infer) {
    out.push_back(flag_option(
        "compiled", "Run both sides as inference plans: batch norm folded, steps fused."));
    out.push_back(choice_option(
        "gates",
        {"none", "fbs", "cgnet"},
        "Random gates of this method: each image leaves out `sparsity` of channels or values."));
  }
  for (const Option& option : machine_options()) {
    if (option.name == "threads") out.push_back(option);
  }
  const std::vector<Option> kernels = kernel_options();
  out.insert(out.end(), kernels.begin(), kernels.end());
  return out;
}

std::vector<Need> needs(timing::Job job) {
  std::vector<Need> out = {{"kernel-times", {"kernels", {"measured"}}},
                           {"masks-from-zeros", {"weights", {""}, true}}};
  if (job == timing::Job::Infer) {
    out.push_back({"pattern", {"gates", {"none"}}});
    out.push_back({"allocation", {"gates", {"none"}}});
  }
  return out;
}

/// The sparsity of a random mask: of N:M that of the pattern where none is given. Throws ValueError
/// for an unknown pattern, and for options that a file of weights would leave without effect.
double asked_sparsity(const OptionValues& values, const GivenOptions& given) {
  for (const char* name : {"sparsity", "pattern", "allocation"}) {
    ESPALIER_CHECK(values.text("weights").empty() || given.find(name) == nullptr,
                   ValueError,
                   "bench: --",
                   name,
                   " is for a network with initial weights and a random mask; ",
                   values.text("weights"),
                   " has its own");
  }
  const prune::Cell cell = prune::make_pattern(values.text("pattern"))->cell();
  const bool of_pattern = cell.size != 0 && given.find("sparsity") == nullptr;
  const double sparsity =
      of_pattern ? 1.0 - static_cast<double>(cell.keep) / static_cast<double>(cell.size)
                 : values.real("sparsity");
  for (const char* name : {"pattern", "allocation"}) {
    ESPALIER_CHECK(sparsity > 0.0 || given.find(name) == nullptr,
                   ValueError,
                   "bench: --",
                   name,
                   " needs --sparsity above 0: nothing is removed");
  }
  return sparsity;
}

Network open_network(const OptionValues& values, const GivenOptions& given) {
  const std::string& weights = values.text("weights");
  if (weights.empty()) {
    return fresh_network(values.text("model"), static_cast<uint64_t>(values.integer("seed")));
  }
  const std::string* model = given.find("model");
  return load_network("bench", weights, model == nullptr ? "" : *model);
}

void remove_masks(Network& network) {
  for (const nn::NamedParameter& p : network.module->named_parameters()) {
    p.parameter->set_mask({});
  }
}

// Steps between two mask updates of dynamic sparse training (RigL's default).
constexpr double kStepsPerUpdate = 100.0;

/// What is timed: without a mask the dense network alone.
struct Sides {
  std::unique_ptr<timing::StepBench> dense;
  std::unique_ptr<timing::StepBench> sparse;
  double sparsity = 0.0;  ///< of the weights; of what random gates leave out
  bool gated = false;     ///< the sparse side chooses for each image
  std::string pattern;    ///< of the sparse side
  std::vector<std::string> notes;
};

Sides open_sides(timing::Job job, const OptionValues& values, const GivenOptions& given) {
  const int64_t batch = values.integer("batch");
  const double sparsity = asked_sparsity(values, given);
  Sides out;
  const std::string gates = job == timing::Job::Infer ? values.text("gates") : "none";
  ESPALIER_CHECK(gates == "none" || values.text("weights").empty(),
                 ValueError,
                 "bench: --gates are for a network with initial weights; those of ",
                 values.text("weights"),
                 " are run as they are");
  Network masked = open_network(values, given);
  if (gates != "none") {
    timing::gate_randomly(masked, gates, sparsity, static_cast<uint64_t>(values.integer("seed")));
  } else if (values.text("weights").empty() && sparsity > 0.0) {
    timing::mask_randomly(masked,
                          {.sparsity = sparsity,
                           .pattern = values.text("pattern"),
                           .allocation = values.text("allocation"),
                           .seed = static_cast<uint64_t>(values.integer("seed"))});
  }
  if (const std::string& weights = values.text("weights"); !weights.empty()) {
    out.notes = heed_zeros(weights, masked, values.flag("masks-from-zeros"));
  }
  out.sparsity =
      gates == "none" ? nn::count_model(*masked.module, masked.image()).sparsity() : sparsity;
  out.pattern = gates != "none"                  ? gates
                : values.text("weights").empty() ? values.text("pattern")
                                                 : "as in " + values.text("weights");
  out.gated = nn::is_gated(*masked.module);
  Network plain = open_network(values, given);
  remove_masks(plain);
  nn::remove_gates(*plain.module);
  out.dense = std::make_unique<timing::StepBench>(std::move(plain), batch);
  if (out.sparsity > 0.0 || out.gated)
    out.sparse = std::make_unique<timing::StepBench>(std::move(masked), batch);
  return out;
}

Json run(timing::Job job, const OptionValues& values, Sides& bench) {
  const int64_t batch = values.integer("batch");
  const auto& [dense, sparse, sparsity, gated, pattern, notes] = bench;
  const bool compiled = job == timing::Job::Infer && values.flag("compiled");
  // The weights of a file are zero where its masks were, which only the sparse side may skip.
  const auto side = [&, plain = bench.dense.get()](timing::StepBench& bench) {
    if (compiled) {
      return bench.infer_compiled(&bench == plain ? nn::PlanFormat::Dense : nn::PlanFormat::Auto);
    }
    return job == timing::Job::Train ? bench.train_step() : bench.infer();
  };
  // The direct dense step beside the one in use: sparse kernels save products of the direct form.
  const timing::Side direct =
      compiled ? dense->infer_compiled(nn::PlanFormat::Dense, Conv2dAlgorithm::Direct)
               : timing::by_algorithm(Conv2dAlgorithm::Direct, side(*dense));
  std::vector<timing::Side> sides = {side(*dense), direct};
  if (sparse) sides.push_back(side(*sparse));
  // In batches a gated network is held against dense planes too: what it would be without gates.
  const bool against_planes = compiled && gated && batch > nn::InferencePlan::kPlanesSamples;
  if (against_planes) sides.push_back(dense->infer_one_by_one(nn::PlanFormat::Dense));
  const double peak_before = timing::measure_peak();
  const std::vector<timing::RoundTimes> times =
      timing::time_in_turns(sides, values.integer("rounds"), values.real("round-seconds"));
  const double peak = std::max(peak_before, timing::measure_peak());

  timing::StepBench& measured = sparse ? *sparse : *dense;
  const int64_t macs = compiled                    ? measured.compiled_macs()
                       : job == timing::Job::Train ? measured.train_macs()
                                                   : measured.infer_macs();
  const timing::RoundTimes& own = sparse ? times[2] : times[0];
  const auto images_per_second = [&](const timing::RoundTimes& t) {
    return static_cast<double>(batch) / t.median();
  };
  const bool planes = compiled ? measured.compiled_in_planes() : gated;
  Json out = {
      {"model", measured.network().name},
      {"batch", batch},
      {"threads", num_threads()},
      {"pattern", sparse ? pattern : "dense"},
      {"sparsity", sparsity},
      {"compiled", compiled},
      {"gated", gated},
      {"macs", measured.infer_macs() / batch},
      {"macs_dense", dense->infer_macs() / batch},
      {"layout", planes ? "planes" : "nchw16n"},
      // In batches a gate's layer may compute what several images chose.
      {"macs_executed", (compiled ? macs : measured.infer_macs()) / batch},
      {"macs_executed_dense", (compiled ? dense->compiled_macs() : dense->infer_macs()) / batch},
      {"images_per_second", images_per_second(own)},
      {"images_per_second_dense", images_per_second(times.front())},
      {"speedup", times[0].median() / own.median()},
      {"speedup_over_direct", times[1].median() / own.median()},
      {"share_of_peak", 2.0 * static_cast<double>(macs) / own.median() / peak},
      {"milliseconds", 1e3 * own.median()},
      {"milliseconds_dense", 1e3 * times[0].median()},
      {"milliseconds_dense_direct", 1e3 * times[1].median()},
      {"spread", own.spread()},
      {"spread_dense", times.front().spread()},
      {"rounds", values.integer("rounds")},
      {"peak_gflops", peak / 1e9},
      {"peak_gflops_before", peak_before / 1e9},
      {"peak_memory", peak_memory()},
      // Layers are timed in lanes and without gates.
      {"layers", planes || gated ? Json::array() : timing::layers_json(measured.explain(), job)},
      {"machine", machine_json()}};
  if (against_planes) {
    out["speedup_over_planes"] = times[3].median() / own.median();
    out["milliseconds_dense_planes"] = 1e3 * times[3].median();
  }
  if (job == timing::Job::Train && sparse) {
    const int64_t rounds = values.integer("rounds");
    const timing::TimeDifference update =
        timing::measure_difference(sparse->mask_update(),
                                   std::max<int64_t>(rounds, 5),
                                   static_cast<double>(rounds) * values.real("round-seconds"));
    const auto known = [&](double x) { return update.is_sure() ? Json(x) : Json(); };
    out["mask_update_milliseconds"] = known(1e3 * update.seconds);
    out["mask_update_noise_milliseconds"] = 1e3 * update.noise;
    out["mask_update_share"] = known(update.seconds / (kStepsPerUpdate * own.median()));
  }
  return out;
}

std::string layers_text(const Json& layers) {
  std::vector<std::vector<std::string>> table = {
      {"layer", "density", "kernel", "ms", "ms dense", "reason"}};
  for (const Json& layer : layers) {
    table.push_back({layer.at("name").get<std::string>(),
                     fmt::format("{:.3f}", layer.at("density").get<double>()),
                     layer.at("kernel").get<std::string>(),
                     fmt::format("{:.3f}", layer.at("milliseconds").get<double>()),
                     fmt::format("{:.3f}", layer.at("milliseconds_dense").get<double>()),
                     layer.at("reason").get<std::string>()});
  }
  return text_table(table);
}

std::string mask_update_text(const Json& result) {
  if (!result.contains("mask_update_share")) return "";
  if (result.at("mask_update_share").is_null()) {
    return fmt::format("mask update  not told apart from none: chance is worth {:.2f} ms here\n",
                       result.at("mask_update_noise_milliseconds").get<double>());
  }
  return fmt::format(
      "mask update  {:.1f} ms more than a step: {:.1f} % when every {:.0f}th step has one\n",
      result.at("mask_update_milliseconds").get<double>(),
      100.0 * result.at("mask_update_share").get<double>(),
      kStepsPerUpdate);
}

std::string planes_text(const Json& result) {
  if (!result.contains("speedup_over_planes")) return "";
  return fmt::format("             {:.2f} x over our dense, image by image in planes ({:.3f} ms)\n",
                     result.at("speedup_over_planes").get<double>(),
                     result.at("milliseconds_dense_planes").get<double>());
}

std::string text(timing::Job job, const Json& result) {
  const auto number = [&](const char* key) { return result.at(key).get<double>(); };
  return (result.at("layers").empty() ? "" : layers_text(result.at("layers"))) +
         fmt::format(
             "{} {}, batch {}, {} threads, {} {:.1f} %, layout {}\n"
             "images/s     {:.0f}   (dense {:.0f})\n"
             "a step       {:.3f} ms, spread {:.0f} %   (dense {:.3f} ms, {:.0f} %)\n"
             "speed-up     {:.2f} x over our dense, {:.2f} x over our direct dense ({:.3f} ms)\n"
             "{}"
             "share        {:.1f} % of {:.0f} GFLOP/s (multiply-adds {})\n",
             job == timing::Job::Train           ? "training"
             : result.at("compiled").get<bool>() ? "compiled inference"
                                                 : "inference",
             result.at("model").get<std::string>(),
             result.at("batch").get<int64_t>(),
             result.at("threads").get<int64_t>(),
             result.at("pattern").get<std::string>(),
             100.0 * number("sparsity"),
             result.at("layout").get<std::string>(),
             number("images_per_second"),
             number("images_per_second_dense"),
             number("milliseconds"),
             100.0 * number("spread"),
             number("milliseconds_dense"),
             100.0 * number("spread_dense"),
             number("speedup"),
             number("speedup_over_direct"),
             number("milliseconds_dense_direct"),
             planes_text(result),
             100.0 * number("share_of_peak"),
             number("peak_gflops"),
             result.at("gated").get<bool>() ? "executed" : "with kept weights") +
         mask_update_text(result);
}

void add_job(const Verb& bench,
             const std::string& name,
             const std::string& help,
             timing::Job job,
             Console& console,
             Action& action) {
  const Verb verb = bench.add_verb(name, help);
  const auto flags = std::make_shared<BenchFlags>();
  flags->given.declare(verb, bench_options(job), "Benchmark");
  verb.add_flag("--json", flags->json, "Print the figures as JSON.");
  verb.callback([&action, &console, flags, job] {
    action = [&console, flags, job] {
      const OptionValues values("bench", bench_options(job), flags->given.given());
      check_needs("bench", needs(job), flags->given.given(), values);
      set_num_threads(static_cast<int>(values.integer("threads")));
      set_kernel_chooser(values);
      Sides sides = open_sides(job, values, flags->given);
      tell(sides.notes, console);
      const Json result = run(job, values, sides);
      console.out << (flags->json ? result.dump(2) + "\n" : text(job, result));
    };
  });
}

}  // namespace

void add_bench(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb("bench", "How fast a network trains and runs here.");
  verb.require_verb();
  add_job(
      verb, "train", "Training steps, sparse against dense.", timing::Job::Train, console, action);
  add_job(
      verb, "infer", "Forward passes, sparse against dense.", timing::Job::Infer, console, action);
  add_bench_kernels(verb, console, action);
}

}  // namespace espalier::experiments::verbs
