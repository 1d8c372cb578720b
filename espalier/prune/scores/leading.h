// SPDX-License-Identifier: Apache-2.0
/// Leading: the first units of a layer before all others, for widths that are cut out of one
/// corner.
#pragma once

#include <memory>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {

/// Minus the number of a unit, or of a weight in its layer.
std::unique_ptr<Score> leading_score();

}  // namespace espalier::prune
