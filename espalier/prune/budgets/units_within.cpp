// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/budgets/units_within.h>

#include <espalier/core/error.h>

namespace espalier::prune {
namespace {

constexpr int kMostHalvings = 60;

}  // namespace

UnitNumbers units_within(const UnitsTask& task, const std::string& what) {
  UnitNumbers more = task.at(Sparsity(0.0));
  if (task.cost(more) <= task.asked) return more;
  const UnitNumbers whole = more;
  UnitNumbers less = task.at(Sparsity(1.0));
  const double least = task.cost(less);
  ESPALIER_CHECK(least <= task.asked,
                 ValueError,
                 "prune: ",
                 what,
                 " can't be brought to ",
                 task.asked / task.dense,
                 " of the dense network's, only to ",
                 least / task.dense,
                 ": the rest is of what the method leaves whole");
  double low = 0.0;
  double high = 1.0;
  for (int i = 0; i < kMostHalvings; ++i) {
    const double middle = 0.5 * (low + high);
    const UnitNumbers at = task.at(Sparsity(middle));
    const bool fits = at == less || (at != more && task.cost(at) <= task.asked);
    (fits ? high : low) = middle;
    (fits ? less : more) = at;
  }
  for (bool any = true; any;) {
    any = false;
    for (size_t place = 0; place < less.size(); ++place) {
      if (less[place] == whole[place]) continue;
      ++less[place];
      const bool fits = task.cost(less) <= task.asked;
      if (!fits) --less[place];
      any = any || fits;
    }
  }
  return less;
}

}  // namespace espalier::prune
