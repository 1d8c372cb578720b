// SPDX-License-Identifier: Apache-2.0
/// Ratios that are known only when they are asked for, as a training has learnt them.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {

/// By layer name, the share of its units that it keeps.
using RatiosByLayer = std::map<std::string, double>;
/// `ratio_allocation`, scaled, of what `ratios` hold when it is asked; a layer without one would
/// keep everything.
std::unique_ptr<Allocation> learnt_ratio_allocation(std::shared_ptr<const RatiosByLayer> ratios);

}  // namespace espalier::prune
