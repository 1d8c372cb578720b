// SPDX-License-Identifier: Apache-2.0
/// Growth: which removed units come back when a mask update moves some (dynamic sparse training).
#pragma once

#include <memory>
#include <vector>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {

/// Says where to grow. Grown weights start at zero with fresh optimizer state.
class Growth {
 public:
  virtual ~Growth() = default;
  /// With `Gradients`, updates come after a backward pass for which dense gradients were asked for:
  /// `compute` finds them at the parameters.
  virtual ScoreNeeds needs() const { return ScoreNeeds::Weights; }
  /// Whether units dropped in the same update may come back at once (with their value).
  virtual bool may_grow_dropped() const { return false; }
  /// One float64 tensor per weight in its shape; removed units with the highest scores grow.
  virtual std::vector<Tensor> compute(const ScoreContext& context) = 0;
};

/// Grows at random places, as SET does (arXiv 1707.04780). (random.cpp)
std::unique_ptr<Growth> random_growth();

/// May a connection that was just dropped come back in the same update?
enum class JustDropped : uint8_t {
  MayReturn,  ///< with its value and its momentum, as in RigL's published code
  StaysOut,
};
/// Grows where the gradient of the effective weight m*w is largest, as RigL does (arXiv
/// 1911.11134). (gradient.cpp)
std::unique_ptr<Growth> gradient_growth(JustDropped dropped = JustDropped::MayReturn);

}  // namespace espalier::prune
