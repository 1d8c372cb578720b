// SPDX-License-Identifier: Apache-2.0
/// `espalier bench`: how fast networks train and run here, sparse against our own dense in turns.
#include <sys/resource.h>

#include <memory>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/parallel.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/inputs/masks.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/timing/layer_times.h>
#include <espalier/experiments/timing/step_bench.h>
#include <espalier/experiments/verbs/bench_text.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/prune/drive/registry.h>
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

struct BenchSettings {
  std::string model = NetworkSettings().model;
  std::string weights = {};
  bool masks_from_zeros = false;
  int64_t batch = 128;
  double sparsity = 0.0;
  std::string pattern = "unstructured";
  std::string allocation = "uniform";
  int64_t rounds = 5;
  double round_seconds = 1.0;
  int64_t seed = 0;
  bool compiled = false;
  std::string gates = "none";
  SavedAs saved = SavedAs::AsTheyAre;
  nn::PlanWeights plan_weights = nn::PlanWeights::Float32;
  UnfedSettings unfed = {};
  MachineSettings machine = {};
  KernelSettings kernels = {};
};

/// `none`, and the methods at run time.
std::vector<std::string> gate_choices() {
  std::vector<std::string> out = {"none"};
  for (const prune::Method& method : prune::methods()) {
    if (method.when == prune::When::Runtime) out.push_back(method.name);
  }
  return out;
}

OptionTable<BenchSettings> make_table(timing::Job job) {
  using S = BenchSettings;
  using Entry = OptionEntry<S>;
  OptionTable<S> table = {
      {&S::model, "model", model_help()},
      {&S::weights,
       "weights",
       "a network with its masks, safetensors or .edc; --model names that of a file from "
       "elsewhere"},
      Entry(&S::masks_from_zeros, "masks-from-zeros", kMasksFromZerosHelp)
          .needing_other_than("weights", {""}),
      {&S::batch, "batch", {1, 65536}, "", "samples at once"},
      {&S::sparsity, "sparsity", {0, 1}, "fraction removed", "of a random mask; 0: dense only"},
      {&S::pattern, "pattern", "what is removed together"},
      {&S::allocation,
       "allocation",
       {"uniform", "erk", "er", "uniform-dense-first"},
       "densities of the layers of a random mask"},
      {&S::rounds, "rounds", {1, 1000}, "", "rounds; each side is timed once a round"},
      {&S::round_seconds, "round-seconds", {0, 600}, "s", "length of a side's round"},
      {&S::seed, "seed", {0, 1e9}, "", "of the weights and the mask"},
  };
  if (job == timing::Job::Train) {
    table.add({&S::saved, "saved", {"float32", "bfloat16"}, kSavedHelp});
  } else {
    table
        .add({&S::compiled,
              "compiled",
              "run both sides as inference plans: batch norm folded, steps fused"})
        .add({&S::plan_weights, "plan-weights", {"float32", "bfloat16"}, kPlanWeightsHelp})
        .add({&S::gates,
              "gates",
              gate_choices(),
              "random gates of this method: each image leaves out `sparsity` of channels, values "
              "or blocks"})
        .needing("pattern", "gates", {"none"})
        .needing("allocation", "gates", {"none"});
  }
  return table.include(&S::unfed, unfed_table())
      .include(&S::machine, threads_table())
      .include(&S::kernels, kernel_table());
}

const OptionTable<BenchSettings>& bench_table(timing::Job job) {
  static const OptionTable<BenchSettings> train = make_table(timing::Job::Train);
  static const OptionTable<BenchSettings> infer = make_table(timing::Job::Infer);
  return job == timing::Job::Train ? train : infer;
}

/// The sparsity of a random mask: of N:M that of the pattern where none is given. Throws ValueError
/// for an unknown pattern, and for options that a file of weights would leave without effect.
double asked_sparsity(const BenchSettings& settings, const GivenOptions& given) {
  for (const char* name : {"sparsity", "pattern", "allocation"}) {
    ESPALIER_CHECK(settings.weights.empty() || given.find(name) == nullptr,
                   ValueError,
                   "bench: --",
                   name,
                   " is for a network with initial weights and a random mask; ",
                   settings.weights,
                   " has its own");
  }
  const prune::UnitCell cell = prune::make_pattern(settings.pattern)->cell();
  const bool of_pattern = cell.size != 0 && given.find("sparsity") == nullptr;
  const double sparsity =
      of_pattern ? 1.0 - static_cast<double>(cell.keep) / static_cast<double>(cell.size)
                 : settings.sparsity;
  for (const char* name : {"pattern", "allocation"}) {
    ESPALIER_CHECK(sparsity > 0.0 || given.find(name) == nullptr,
                   ValueError,
                   "bench: --",
                   name,
                   " needs --sparsity above 0: nothing is removed");
  }
  return sparsity;
}

Network open_network(const BenchSettings& settings, const GivenOptions& given) {
  const std::string& weights = settings.weights;
  if (weights.empty()) {
    return fresh_network(settings.model, static_cast<uint64_t>(settings.seed), settings.unfed);
  }
  const std::string* model = given.find("model");
  return load_network(
      "bench", weights, model == nullptr ? "" : *model, settings.unfed, given.names());
}

void remove_masks(Network& network) {
  for (const nn::NamedParameter& p : network.module->named_parameters()) {
    p.parameter->set_mask({});
  }
}

/// What is timed: without a mask the dense network alone.
struct Sides {
  std::unique_ptr<timing::StepBench> dense;
  std::unique_ptr<timing::StepBench> sparse;
  double sparsity = 0.0;  ///< of the weights; of what random gates leave out
  bool gated = false;     ///< the sparse side chooses for each image
  std::string pattern;    ///< of the sparse side
  std::vector<std::string> notes;
};

Sides open_sides(const BenchSettings& settings, const GivenOptions& given) {
  const int64_t batch = settings.batch;
  const double sparsity = asked_sparsity(settings, given);
  Sides out;
  const std::string gates = settings.gates;
  ESPALIER_CHECK(gates == "none" || settings.weights.empty(),
                 ValueError,
                 "bench: --gates are for a network with initial weights; those of ",
                 settings.weights,
                 " are run as they are");
  Network masked = open_network(settings, given);
  if (gates != "none") {
    timing::gate_randomly(masked, gates, sparsity, static_cast<uint64_t>(settings.seed));
  } else if (settings.weights.empty() && sparsity > 0.0) {
    timing::mask_randomly(masked,
                          {.sparsity = sparsity,
                           .pattern = settings.pattern,
                           .allocation = settings.allocation,
                           .seed = static_cast<uint64_t>(settings.seed)});
  }
  if (const std::string& weights = settings.weights; !weights.empty()) {
    out.notes = heed_zeros(weights, masked, settings.masks_from_zeros);
  }
  out.sparsity =
      gates == "none" ? nn::count_model(*masked.module, masked.sample()).sparsity() : sparsity;
  out.pattern = gates != "none"            ? gates
                : settings.weights.empty() ? settings.pattern
                                           : "as in " + settings.weights;
  out.gated = nn::is_gated(*masked.module);
  Network plain = open_network(settings, given);
  remove_masks(plain);
  nn::remove_gates(*plain.module);
  out.dense = std::make_unique<timing::StepBench>(std::move(plain), batch);
  if (out.sparsity > 0.0 || out.gated)
    out.sparse = std::make_unique<timing::StepBench>(std::move(masked), batch);
  for (timing::StepBench* side : {out.dense.get(), out.sparse.get()}) {
    if (side == nullptr) continue;
    side->keep_as(settings.saved);
    side->hold_weights_as(settings.plan_weights);
  }
  return out;
}

Json run(timing::Job job, const BenchSettings& settings, Sides& bench) {
  const int64_t batch = settings.batch;
  const auto& [dense, sparse, sparsity, gated, pattern, notes] = bench;
  const bool compiled = settings.compiled;
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
      timing::time_in_turns(sides, settings.rounds, settings.round_seconds);
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
      {"rounds", settings.rounds},
      {"peak_gflops", peak / 1e9},
      {"peak_gflops_before", peak_before / 1e9},
      {"peak_memory", peak_memory()},
      // Layers are timed in lanes and without gates.
      {"layers", planes || gated ? Json::array() : timing::layers_json(measured.explain(), job)},
      {"machine", measured_machine_json()}};
  if (against_planes) {
    out["speedup_over_planes"] = times[3].median() / own.median();
    out["milliseconds_dense_planes"] = 1e3 * times[3].median();
  }
  if (job == timing::Job::Train) {
    const nn::TrainingMemory memory = measured.training_memory();
    out["training_memory"] = memory.needed();
    out["training_memory_parts"] = {{"parameters", memory.parameters},
                                    {"optimizer", memory.optimizer},
                                    {"activations", memory.activations},
                                    {"step", memory.step},
                                    {"pooled", memory.pooled}};
  }
  if (job == timing::Job::Train && sparse) {
    const int64_t rounds = settings.rounds;
    const timing::TimeDifference update =
        timing::measure_difference(sparse->mask_update(),
                                   std::max<int64_t>(rounds, 5),
                                   static_cast<double>(rounds) * settings.round_seconds);
    const auto known = [&](double x) { return update.is_sure() ? Json(x) : Json(); };
    out["mask_update_milliseconds"] = known(1e3 * update.seconds);
    out["mask_update_noise_milliseconds"] = 1e3 * update.noise;
    out["mask_update_share"] = known(update.seconds / (kStepsPerUpdate * own.median()));
  }
  return out;
}

void add_job(const Verb& bench,
             const std::string& name,
             const std::string& help,
             timing::Job job,
             Console& console,
             Action& action) {
  const Verb verb = bench.add_verb(name, help);
  const auto flags = std::make_shared<BenchFlags>();
  flags->given.declare(verb, bench_table(job).options(), "Benchmark");
  verb.add_flag("--json", flags->json, "print the figures as JSON");
  verb.callback([&action, &console, flags, job] {
    action = [&console, flags, job] {
      const BenchSettings settings = bench_table(job).read("bench", flags->given.given());
      set_num_threads(static_cast<int>(settings.machine.threads));
      set_kernel_chooser(settings.kernels);
      Sides sides = open_sides(settings, flags->given);
      tell(sides.notes, console);
      const Json result = run(job, settings, sides);
      console.out << (flags->json ? result.dump(2) + "\n" : bench_text(job, result));
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
