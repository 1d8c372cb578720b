// SPDX-License-Identifier: Apache-2.0
/// Criteria for the mask of a trained network: functions of what a weight was at first and of what
/// it is at last.
#pragma once

#include <memory>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {

/// Of a weight w that was v at first.
enum class MaskCriterion : uint8_t {
  LargeFinal,           ///< |w|
  SmallFinal,           ///< -|w|
  LargeInit,            ///< |v|
  LargeInitLargeFinal,  ///< min(a |w|, |v|), a the layer's mean |v| over its mean |w|
  MagnitudeIncrease,    ///< |w| - |v|
  Movement,             ///< |w - v|
  LargeFinalSameSign,   ///< max(0, sign(v) w)
  Random,               ///< uniform
};

/// The score of a criterion; v is the value at the first backward pass that it observes. Throws
/// ValueError where it needs v and has observed none. (mask_criteria.cpp)
std::unique_ptr<Score> mask_criterion_score(MaskCriterion criterion);

}  // namespace espalier::prune
