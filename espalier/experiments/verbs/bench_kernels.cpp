// SPDX-License-Identifier: Apache-2.0
/// `espalier bench kernels`: single convolutions, dense and unstructured sparse, with the share of
/// the machine's peak.
#include <memory>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/parallel.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/parts.h>
#include <espalier/experiments/timing/conv_bench.h>
#include <espalier/experiments/timing/step_bench.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::experiments::verbs {
namespace {

using Json = nlohmann::ordered_json;

struct KernelFlags {
  GivenOptions given;
  bool json = false;
};

struct KernelBenchSettings {
  std::string sparsities = {};
  std::string pattern = "unstructured";
  int64_t batch = 128;
  int64_t rounds = 5;
  double round_seconds = 0.1;
  MachineSettings machine = {};
};

const OptionTable<KernelBenchSettings>& kernel_bench_table() {
  using S = KernelBenchSettings;
  static const OptionTable<S> table =
      OptionTable<S>(
          {{&S::sparsities,
            "sparsities",
            "removed fractions, 0.5,0.9,..; empty: that of an N:M pattern, else "
            "0.5,0.8,0.9,0.95,0.98"},
           {&S::pattern, "pattern", "what is removed together: 4x1, 2:4, 2:4g4, .."},
           {&S::batch, "batch", {1, 65536}, "", "samples at once"},
           {&S::rounds, "rounds", {1, 1000}, "", "rounds; each side is timed once a round"},
           {&S::round_seconds, "round-seconds", {0, 600}, "s", "length of a side's round"}})
          .include(&S::machine, threads_table());
  return table;
}

std::vector<double> read_sparsities(const KernelBenchSettings& settings) {
  const prune::UnitCell cell = prune::make_pattern(settings.pattern)->cell();
  if (settings.sparsities.empty()) {
    if (cell.size == 0) return {0.5, 0.8, 0.9, 0.95, 0.98};
    return {1.0 - static_cast<double>(cell.keep) / static_cast<double>(cell.size)};
  }
  std::vector<double> out = parse_numbers("sparsities", settings.sparsities);
  for (const double sparsity : out) {
    ESPALIER_CHECK(sparsity >= 0.0 && sparsity <= 1.0,
                   ValueError,
                   "bench kernels: option sparsities expects numbers in 0 .. 1, got ",
                   sparsity);
  }
  return out;
}

Json run(const KernelBenchSettings& settings, const std::vector<double>& sparsities) {
  set_num_threads(static_cast<int>(settings.machine.threads));
  const double peak_before = timing::measure_peak();
  Json rows = Json::array();
  for (const timing::ConvLayer& layer : timing::cifar_layers()) {
    timing::ConvBench bench(layer, settings.batch);
    for (const timing::ConvDirection direction :
         {timing::ConvDirection::Forward, timing::ConvDirection::Backward}) {
      std::vector<timing::Side> sides = {
          bench.dense(direction),
          timing::by_algorithm(Conv2dAlgorithm::Direct, bench.dense(direction))};
      std::vector<std::string> kernels = {"dense", "direct"};
      std::vector<double> kept = {1.0, 1.0};
      std::vector<double> removed = {0.0, 0.0};
      for (const double sparsity : sparsities) {
        const auto support = bench.random_support(sparsity, settings.pattern);
        kept.push_back(support->density());
        removed.push_back(sparsity);
        kernels.push_back("sparse");
        sides.push_back(bench.sparse(direction, support));
      }
      const std::vector<timing::RoundTimes> times =
          timing::time_in_turns(sides, settings.rounds, settings.round_seconds);
      for (size_t i = 0; i < sides.size(); ++i) {
        rows.push_back({{"channels", layer.channels},
                        {"plane", layer.plane},
                        {"direction", name(direction)},
                        {"kernel", kernels[i]},
                        {"sparsity", removed[i]},
                        {"milliseconds", 1e3 * times[i].median()},
                        {"spread", times[i].spread()},
                        {"speedup", times[0].median() / times[i].median()},
                        {"speedup_over_direct", times[1].median() / times[i].median()},
                        {"gflops", 2e-9 * bench.macs(direction) * kept[i] / times[i].median()}});
      }
    }
  }
  const double peak = std::max(peak_before, timing::measure_peak());
  for (Json& row : rows) row["share_of_peak"] = 1e9 * row.at("gflops").get<double>() / peak;
  return {{"batch", settings.batch},
          {"rounds", settings.rounds},
          {"pattern", settings.pattern},
          {"threads", num_threads()},
          {"peak_gflops", peak / 1e9},
          {"peak_gflops_before", peak_before / 1e9},
          {"machine", measured_machine_json()},
          {"kernels", rows}};
}

std::string text(const Json& result) {
  std::vector<std::vector<std::string>> table = {{"channels",
                                                  "plane",
                                                  "direction",
                                                  "kernel",
                                                  "sparsity",
                                                  "ms",
                                                  "spread",
                                                  "x dense",
                                                  "x direct",
                                                  "share of peak"}};
  std::map<std::pair<std::string, double>, std::vector<double>> over_dense, over_direct;
  const auto rounds = result.at("rounds").get<int64_t>();
  for (const Json& row : result.at("kernels")) {
    const auto number = [&](const char* key) { return row.at(key).get<double>(); };
    const auto direction = row.at("direction").get<std::string>();
    table.push_back({fmt::format("{}", row.at("channels").get<int64_t>()),
                     fmt::format("{0}x{0}", row.at("plane").get<int64_t>()),
                     direction,
                     row.at("kernel").get<std::string>(),
                     fmt::format("{:.2f}", number("sparsity")),
                     fmt::format("{:.3f}", number("milliseconds")),
                     rounds > 1 ? fmt::format("{:.0f} %", 100.0 * number("spread")) : "-",
                     fmt::format("{:.2f}", number("speedup")),
                     fmt::format("{:.2f}", number("speedup_over_direct")),
                     fmt::format("{:.0f} %", 100.0 * number("share_of_peak"))});
    if (number("sparsity") > 0.0) {
      over_dense[{direction, number("sparsity")}].push_back(number("speedup"));
      over_direct[{direction, number("sparsity")}].push_back(number("speedup_over_direct"));
    }
  }
  std::string out = text_table(table);
  for (const auto& [key, ratios] : over_dense) {
    out += fmt::format(
        "{} at {:.0f} % sparsity: {:.2f} x our dense, {:.2f} x our direct dense, geometric means\n",
        key.first,
        100.0 * key.second,
        timing::geometric_mean(ratios),
        timing::geometric_mean(over_direct.at(key)));
  }
  out +=
      "Shares of the peak count the products of a direct convolution: dense kernels by Winograd's "
      "algorithm do with fewer, and may pass 100 %\n";
  return out + fmt::format("{}, batch {}, {} threads, peak {:.0f} GFLOP/s\n",
                           result.at("pattern").get<std::string>(),
                           result.at("batch").get<int64_t>(),
                           result.at("threads").get<int64_t>(),
                           result.at("peak_gflops").get<double>());
}

}  // namespace

void add_bench_kernels(const Verb& bench, Console& console, Action& action) {
  const Verb verb =
      bench.add_verb("kernels", "Single convolutions: dense, unstructured, share of peak.");
  const auto flags = std::make_shared<KernelFlags>();
  flags->given.declare(verb, kernel_bench_table().options(), "Benchmark");
  verb.add_flag("--json", flags->json, "print the figures as JSON");
  verb.callback([&action, &console, flags] {
    action = [&console, flags] {
      const KernelBenchSettings settings =
          kernel_bench_table().read("bench kernels", flags->given.given());
      const std::vector<double> sparsities = read_sparsities(settings);
      const Json result = run(settings, sparsities);
      console.out << (flags->json ? result.dump(2) + "\n" : text(result));
    };
  });
}

}  // namespace espalier::experiments::verbs
