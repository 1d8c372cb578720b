// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/sentences.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <espalier/experiments/report/report.h>

namespace espalier::experiments::report {
namespace {

constexpr size_t kMostSentences = 3;

double accuracy_of(const RunGroup& group) {
  return group.summary("accuracy")->mean;
}

const RunGroup& best_of(const std::vector<const RunGroup*>& groups) {
  return **std::max_element(groups.begin(), groups.end(), [](const auto* a, const auto* b) {
    return accuracy_of(*a) < accuracy_of(*b);
  });
}

std::string seeds_text(int64_t least) {
  if (least < 2) return "one seed, so what chance does is not known";
  return fmt::format("means of {} seeds", least);
}

std::string against_dense(double accuracy, double dense) {
  const double points = 100.0 * (accuracy - dense);
  if (std::abs(points) < 0.005) return fmt::format("as the dense network does");
  return fmt::format("{:.2f} points {} the dense network's {:.2f} %",
                     std::abs(points),
                     points > 0.0 ? "above" : "below",
                     100.0 * dense);
}

std::string sentence(const Panel& panel) {
  std::vector<const RunGroup*> dense;
  std::vector<const RunGroup*> pruned;
  double highest = 0.0;
  for (const RunGroup& group : panel.groups) {
    if (!group.summary("accuracy")) continue;
    (group.first().method == "dense" ? dense : pruned).push_back(&group);
    if (group.first().method != "dense") highest = std::max(highest, group.first().sparsity_asked);
  }
  if (dense.empty() && pruned.empty()) return panel.title() + ": no run is finished yet.";
  if (pruned.empty()) {
    const RunGroup& best = best_of(dense);
    return fmt::format("{}: the dense network reaches {:.2f} % ({}); no pruned run is finished.",
                       panel.title(),
                       100.0 * accuracy_of(best),
                       seeds_text(best.summary("accuracy")->count));
  }
  std::erase_if(pruned, [&](const RunGroup* g) { return g->first().sparsity_asked < highest; });
  const RunGroup& best = best_of(pruned);
  const comparisons::Summary accuracy = *best.summary("accuracy");
  int64_t seeds = accuracy.count;
  std::string out = panel.title() + ": ";
  if (const auto sparsity = best.summary("sparsity")) {
    out += fmt::format("with {:.1f} % of the weights removed, ", 100.0 * sparsity->mean);
  }
  out += fmt::format("{} reaches {:.2f} %", best.label(), 100.0 * accuracy.mean);
  if (dense.empty()) {
    out += "; there is no dense run beside it";
  } else {
    const RunGroup& other = best_of(dense);
    seeds = std::min(seeds, other.summary("accuracy")->count);
    out += ", " + against_dense(accuracy.mean, accuracy_of(other));
  }
  if (pruned.size() > 1) {
    out += fmt::format(", the best of {} at this sparsity", pruned.size());
  }
  if (const auto speed = best.summary("speedup")) {
    out += fmt::format(", and runs {:.2f} times as fast, timed in turn", speed->mean);
  }
  return out + " (" + seeds_text(seeds) + ").";
}

}  // namespace

std::vector<std::string> report_findings(const Report& report) {
  std::vector<std::string> out;
  for (const Panel& panel : report.panels()) {
    if (out.size() == kMostSentences) {
      const size_t more = report.panels().size() - kMostSentences;
      out.push_back(
          fmt::format("{} more {} below.",
                      more,
                      more == 1 ? "network and data set is" : "networks and data sets are"));
      break;
    }
    out.push_back(sentence(panel));
  }
  return out;
}

}  // namespace espalier::experiments::report
