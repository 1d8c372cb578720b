// SPDX-License-Identifier: Apache-2.0
/// Numbers of units that meet a budget, for whatever takes units from places by itself: ranks of
/// factors, kernels of filters. It knows no network.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <espalier/prune/ground/sparsity.h>

namespace espalier::prune {

/// Units by place.
using UnitNumbers = std::vector<int64_t>;

/// What is asked.
struct UnitsTask {
  /// What every place keeps at a sparsity: never more at a higher one. At 0 it is whole.
  std::function<UnitNumbers(Sparsity)> at;
  std::function<double(const UnitNumbers&)> cost;  ///< of the network with so many
  double asked = 0.0;                              ///< the cost that it may have
  double dense = 1.0;                              ///< the cost of the whole network
};
/// The numbers of the lowest sparsity that is cheap enough, and then one unit more in one place
/// after another, as long as any fits. Throws ValueError when sparsity 1 costs too much; `what`
/// names what is counted.
UnitNumbers units_within(const UnitsTask& task, const std::string& what);

}  // namespace espalier::prune
