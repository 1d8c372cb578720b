// SPDX-License-Identifier: Apache-2.0
/// Which layers each method thins out. Masks only: nothing is trained after pruning.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <numeric>
#include <set>

#include <fmt/format.h>

#include <espalier/experiments/comparisons/comparisons.h>
#include <espalier/experiments/comparisons/findings.h>

namespace espalier::experiments::comparisons::list {
namespace {

using Rows = std::vector<RunRow>;

bool same_layers(const RunRow& a, const RunRow& b) {
  return std::ranges::equal(a.layers, b.layers, {}, &LayerDensity::kept, &LayerDensity::kept);
}

std::vector<std::string> methods_of(const Rows& rows) {
  std::vector<std::string> out;
  for (const RunRow& row : rows) {
    if (row.method == "dense") continue;
    if (std::find(out.begin(), out.end(), row.method) == out.end()) out.push_back(row.method);
  }
  return out;
}

// In how many pairs of equal runs on two data sets all layers keep equally many weights.
std::pair<int64_t, int64_t> equal_pairs(const Rows& rows, const std::string& method) {
  int64_t equal = 0;
  int64_t pairs = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = i + 1; j < rows.size(); ++j) {
      const bool pair = rows[i].method == method && rows[j].method == method &&
                        rows[i].model == rows[j].model && rows[i].seed == rows[j].seed &&
                        rows[i].sparsity_asked == rows[j].sparsity_asked &&
                        rows[i].data != rows[j].data;
      if (!pair) continue;
      ++pairs;
      equal += same_layers(rows[i], rows[j]) ? 1 : 0;
    }
  }
  return {equal, pairs};
}

std::string across_data(const Rows& rows, bool judges) {
  std::string out =
      "**The survey (7.3, figure 8):** the share that SynFlow and Smart-Ratio remove of each layer "
      "is the same on both data sets; that of SNIP and magnitude is not.\n\n"
      "| method | pairs of runs with the same layer densities on both data sets | the survey |\n"
      "|---|---|---|\n";
  const std::set<std::string> data_free = {"synflow", "smart-ratio"};
  const std::set<std::string> data_driven = {"snip", "magnitude"};
  for (const std::string& method : methods_of(rows)) {
    const auto [equal, pairs] = equal_pairs(rows, method);
    std::string verdict = judges ? "says nothing" : name(Verdict::TooShort);
    if (judges && pairs > 0 && data_free.contains(method))
      verdict = equal == pairs ? "agrees" : "disagrees";
    if (judges && pairs > 0 && data_driven.contains(method))
      verdict = equal == 0 ? "agrees" : "disagrees";
    out += fmt::format("| {} | {} of {} | {} |\n", method, equal, pairs, verdict);
  }
  return out;
}

// A layer's densities as multiples of one weight of the smallest layer: finer differences are
// rounding, as under a uniform sparsity.
std::vector<double> comparable_densities(const RunRow& row) {
  int64_t smallest = row.layers.front().total;
  for (const LayerDensity& layer : row.layers) smallest = std::min(smallest, layer.total);
  std::vector<double> out;
  for (const LayerDensity& layer : row.layers) {
    out.push_back(std::round(layer.density() * static_cast<double>(smallest)));
  }
  return out;
}

std::string with_depth(const Rows& rows, bool judges) {
  std::string table =
      "Rank correlation of a layer's depth and its density, mean of both data sets, then over "
      "seeds (densities closer than one weight of the smallest layer count as equal); negative: "
      "earlier layers keep more.\n\n"
      "| method | rank correlation | standard error | earlier layers keep more "
      "|\n|---|---|---|---|\n";
  int64_t methods = 0;
  int64_t earlier = 0;
  int64_t surely = 0;
  for (const std::string& method : methods_of(rows)) {
    std::map<int64_t, std::vector<double>> by_seed;  // on two data sets often the same, so no two
    for (const RunRow& row : rows) {
      if (row.method != method || row.layers.size() < 2) continue;
      const std::vector<double> density = comparable_densities(row);
      std::vector<double> depth(density.size());
      std::iota(depth.begin(), depth.end(), 0.0);
      by_seed[row.seed].push_back(rank_correlation(depth, density));
    }
    std::vector<double> correlations;
    for (const auto& [seed, values] : by_seed) correlations.push_back(summarize(values).mean);
    if (correlations.empty()) continue;
    const Summary summary = summarize(correlations);
    ++methods;
    earlier += summary.mean < 0.0 ? 1 : 0;
    surely += summary.mean < 0.0 && summary.ratio().value_or(0.0) <= -kSureRatio ? 1 : 0;
    table +=
        fmt::format("| {} | {:+.2f} | {} | {} |\n",
                    method,
                    summary.mean,
                    summary.standard_error ? fmt::format("{:.2f}", *summary.standard_error) : "-",
                    summary.mean < 0.0 ? "yes" : "no");
  }
  const std::string verdict = !judges ? name(Verdict::TooShort)
                              : methods == 0
                                  ? name(Verdict::NoData)
                                  : fmt::format(
                                        "{}: {} of {} methods, {} of them by two "
                                        "standard errors or more",
                                        name(earlier > 0 ? Verdict::Agrees : Verdict::Disagrees),
                                        earlier,
                                        methods,
                                        surely);
  return "**The survey (7.8):** some methods keep a larger share of the earlier layers than of the "
         "later ones.\n\n**Here: " +
         verdict + ".**\n\n" + table;
}

std::string findings(const Rows& all, bool judges) {
  Rows rows;
  std::copy_if(all.begin(), all.end(), std::back_inserter(rows), [](const RunRow& row) {
    return row.finished() && row.compared && row.method != "dense";
  });
  return across_data(rows, judges) + "\n" + with_depth(rows, judges);
}

}  // namespace

Experiment layer_density() {
  return {
      .name = "layer-density",
      .title = "Density layer by layer under each method",
      .section = "section 7.8, figure 8",
      .what =
          "VGG-16 on two data sets, pruned before training by GraSP, SNIP, SynFlow, Smart-Ratio "
          "and "
          "at random with ERK densities, after training by magnitude with three allocations. "
          "Nothing is trained after pruning: only the masks are looked at.",
      .plan =
          [](Plan& plan) {
            for (const int64_t seed : plan.scale().seeds) {
              for (const std::string& data : {plan.scale().data, plan.scale().other_data}) {
                const Where where = {"vgg16", data, seed};
                const auto add = [&](PlannedRun run, const std::string& method) {
                  run.method = method;
                  run.settings["epochs"] = "0";
                  plan.add(run);
                };
                for (const double sparsity : plan.sparsities({0.9}, {0.9})) {
                  add(plan.pruned(where, "snip", sparsity), "snip");
                  add(plan.pruned(where, "grasp", sparsity, {{"scoring-precision", "float32"}}),
                      "grasp");
                  add(plan.pruned(where, "synflow", sparsity, {{"rounds", plan.rounds(100)}}),
                      "synflow");
                  add(plan.pruned(where, "smart-ratio", sparsity, {{"ratio-rule", "plain"}}),
                      "smart-ratio");
                  add(plan.pruned(where, "random", sparsity), "random-erk");
                  add(plan.fine_tuned(where, "magnitude", sparsity), "magnitude");
                  add(plan.fine_tuned(where, "magnitude", sparsity, {{"allocation", "uniform"}}),
                      "magnitude-uniform");
                  add(plan.fine_tuned(where, "magnitude", sparsity, {{"allocation", "erk"}}),
                      "magnitude-erk");
                }
              }
            }
          },
      .second_data = {"svhn", "cifar100"},
      .accuracies = false,
      .layers = true,
      .more = findings,
  };
}

}  // namespace espalier::experiments::comparisons::list
