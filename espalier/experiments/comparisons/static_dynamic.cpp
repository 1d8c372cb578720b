// SPDX-License-Identifier: Apache-2.0
/// Static against dynamic pruning at equal cost: the same channels for all images, or channels and
/// positions chosen anew for each.
#include <map>
#include <optional>

#include <fmt/format.h>

#include <espalier/experiments/comparisons/comparisons.h>
#include <espalier/experiments/comparisons/findings.h>
#include <espalier/experiments/comparisons/gates.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments::comparisons::list {
namespace {

using Rows = std::vector<RunRow>;

constexpr const char* kStatic = "l1-filters";
constexpr double kMostLeftOut = 0.8;  // of the static method alone

bool is_dynamic(const RunRow& row) {
  return !row.method.empty() && row.method != "dense" &&
         prune::method(row.method).when == prune::When::Runtime;
}

/// MACs of an image, as a share of the dense network's: of a static method those that its shrunk
/// network has, of a dynamic one the mean of what was computed.
double share_of_macs(const RunRow& row) {
  return static_cast<double>(is_dynamic(row) ? row.macs_executed : row.macs_effective) /
         static_cast<double>(row.macs_dense);
}

/// What the static method would reach with this share of MACs, in the same seed, on the straight
/// line between its neighbours (the dense network, trained on for as long, is one); nothing outside
/// of what was run, or when one of these runs failed.
std::optional<double> static_accuracy(const Rows& rows, const RunRow& like, double share) {
  std::map<double, double> points;
  for (const RunRow& row : rows) {
    const bool same = row.model == like.model && row.data == like.data && row.seed == like.seed;
    if (!same || is_dynamic(row) || row.variant.empty()) continue;
    if (!row.finished()) return std::nullopt;
    points[share_of_macs(row)] = row.accuracy;
  }
  const auto above = points.lower_bound(share);
  if (above == points.end()) return std::nullopt;
  if (above->first == share) return above->second;
  if (above == points.begin()) return std::nullopt;
  const auto below = std::prev(above);
  const double along = (share - below->first) / (above->first - below->first);
  return below->second + along * (above->second - below->second);
}

/// Each dynamic run, and beside it the static method at the MACs that it really executed.
Rows at_equal_cost(const Rows& rows) {
  Rows out;
  for (const RunRow& row : rows) {
    if (!row.compared || !row.finished() || !is_dynamic(row)) continue;
    const std::optional<double> accuracy = static_accuracy(rows, row, share_of_macs(row));
    if (!accuracy) continue;
    RunRow dynamic = row;
    dynamic.variant = row.method + ", " + row.variant;
    RunRow other = dynamic;
    other.method = kStatic;
    other.accuracy = *accuracy;
    out.push_back(dynamic);
    out.push_back(other);
  }
  return out;
}

std::string findings(const Rows& rows, bool /*judges*/) {
  std::string out =
      "These are differences at the MACs that were really executed, gates and predictors included: "
      "the static method's accuracy is that on the straight line between its runs with the next "
      "smaller and the next larger share of MACs. A share outside of these is not compared.\n\n"
      "| method | asked | executed share |\n|---|---|---|\n";
  std::map<std::pair<std::string, std::string>, std::vector<double>> shares;
  for (const RunRow& row : rows) {
    if (!row.finished() || !row.compared || !is_dynamic(row)) continue;
    shares[{row.method, row.variant}].push_back(share_of_macs(row));
  }
  for (const auto& [key, values] : shares) {
    out += fmt::format("| {} | {} | {:.3f} |\n", key.first, key.second, summarize(values).mean);
  }
  return out;
}

}  // namespace

Experiment static_dynamic() {
  return {
      .name = "static-dynamic",
      .title = "Static against dynamic pruning",
      .section = "section 7.7, table 9",
      .what =
          "A trained VGG-16 is pruned by FBS and CGNet, which choose for each image what to "
          "compute, and by the l1 norm of filters, which removes the same channels for all images. "
          "All are fine-tuned for as many epochs, as is the dense network. Each gets the sparsity "
          "of its own at which about "
          "the share of MACs that the variant tells should be left; what was left is in the "
          "columns "
          "of MACs: effective of the static method, which its shrunk network executes, and "
          "executed "
          "of the dynamic ones. The survey compares in words alone.",
      .plan =
          [](Plan& plan) {
            for (const int64_t seed : plan.scale().seeds) {
              const Where where = {"vgg16", plan.scale().data, seed};
              plan.dense(where);
              plan.add(plan.trained_on(where));
              // Dynamic runs may execute less than they were asked for.
              std::vector<double> shares = plan.sparsities({0.5, 0.7}, {0.3, 0.5, 0.7});
              if (plan.scale().preset != Preset::Smoke) shares.push_back(kMostLeftOut);
              for (const double left_out : shares) {
                for (const char* method : {kStatic, "fbs", "cgnet"}) {
                  if (left_out == kMostLeftOut && method != kStatic) continue;
                  PlannedRun run = plan.fine_tuned(where,
                                                   method,
                                                   sparsity_for_share(method, 1.0 - left_out),
                                                   gate_options(method));
                  run.variant = fmt::format("{:.0f} % of MACs", 100.0 * (1.0 - left_out));
                  plan.add(run);
                }
              }
            }
          },
      .claims = {{.sentence = "(Our reading of table 9.) Dynamic pruning chooses by the input and "
                              "keeps the whole network, so it should "
                              "lose less accuracy than static pruning of the same cost.",
                  .column = "method",
                  .higher = {"fbs", "cgnet"},
                  .lower = {kStatic},
                  .within = {"model", "data", "variant"}}},
      .speeds = true,
      .judged = at_equal_cost,
      .more = findings,
  };
}

}  // namespace espalier::experiments::comparisons::list
