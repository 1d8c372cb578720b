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
  /// Whether it reads the gradients of all steps in `observe`, dense ones, which are then computed.
  virtual bool observes() const { return false; }
  /// Called after every backward pass of training.
  virtual void observe(nn::TrainState&) {}
  /// What accumulated, for checkpoints.
  virtual std::map<std::string, Tensor> state() const { return {}; }
  /// Takes over what `state()` gave.
  virtual void load_state(const std::map<std::string, Tensor>&) {}
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

/// Which momentum is meant.
struct MomentumOptions {
  double decay = 0.9;  ///< v <- decay v + G, as of SGD
  double second =
      0.0;  ///< as of Adam, v over the root of a mean of G^2 with this decay; 0: v itself
  JustDropped dropped = JustDropped::MayReturn;  ///< in the same update
};
/// Grows where the momentum of dense gradients is largest, |v|, which it keeps at all places
/// itself: the optimizer has none where nothing lives. Source: Dettmers, Zettlemoyer, arXiv
/// 1907.04840. (momentum.cpp)
std::unique_ptr<Growth> momentum_growth(const MomentumOptions& options);

}  // namespace espalier::prune
