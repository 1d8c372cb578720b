// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/budgets/widest.h>

#include <algorithm>

#include <espalier/prune/structure/widen.h>

namespace espalier::prune {

double widest_factor(nn::Module& model, const Variable& input, Budget& budget, double cost) {
  ESPALIER_CHECK(budget.exact(),
                 ValueError,
                 "widen: a measured budget says no exact width; choose macs, params or bytes");
  const std::vector<ChannelGroup> groups = trace_channels(model, input).groups(model);
  int64_t widest = 0;
  for (const ChannelGroup& group : groups) {
    if (group.frozen_because.empty()) widest = std::max(widest, group.channels);
  }
  ESPALIER_CHECK(widest > 0, ValueError, "widen: no channel of the network can be copied");
  const auto cost_at = [&](const std::vector<int64_t>& widths) {
    const std::unique_ptr<nn::Module> copy = model.clone();
    widen(*copy, input, widths);
    return budget.cost(*copy);
  };
  double fits = 1.0;
  std::vector<int64_t> fitting = widths_times(groups, fits);
  const double now = cost_at(fitting);
  ESPALIER_CHECK(
      now <= cost, ValueError, "widen: the network costs ", now, " already, more than ", cost);
  double too_much = 2.0;
  std::vector<int64_t> exceeding = widths_times(groups, too_much);
  while (cost_at(exceeding) <= cost) {
    fits = too_much;
    fitting = exceeding;
    too_much *= 2.0;
    exceeding = widths_times(groups, too_much);
  }
  // Factors at which a width of at most `most` changes are quotients with denominators up to
  // `widest`: two of them are at least this far apart.
  const double apart = 1.0 / (static_cast<double>(widest) * static_cast<double>(widest));
  while (too_much - fits > 0.5 * apart) {
    const double middle = 0.5 * (fits + too_much);
    std::vector<int64_t> widths = widths_times(groups, middle);
    if (widths == fitting || (widths != exceeding && cost_at(widths) <= cost)) {
      fits = middle;
      fitting = std::move(widths);
    } else {
      too_much = middle;
      exceeding = std::move(widths);
    }
  }
  return fits;
}

}  // namespace espalier::prune
