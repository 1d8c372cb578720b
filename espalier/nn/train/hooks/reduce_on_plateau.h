// SPDX-License-Identifier: Apache-2.0
/// ReduceOnPlateau: lowers the learning rate when a number no longer becomes better.
#pragma once

#include <espalier/nn/train/hooks/best_so_far.h>
#include <espalier/nn/train/hooks/watched.h>

namespace espalier::nn {

/// When ReduceOnPlateau lowers the rate, and how far.
struct ReduceOnPlateauOptions {
  double factor = 0.1;      ///< the rate is multiplied by it, in 0..1
  int64_t patience = 10;    ///< epochs without a better number that are borne; the next lowers
  double threshold = 1e-4;  ///< better means: by more than this share of the best
  int64_t cooldown = 0;     ///< epochs after a fall that don't count
  double min_lr = 0.0;      ///< the rate falls no deeper
};

/// Schedules are functions of the step; what depends on how training goes is a hook. This one
/// multiplies the schedule's rate, usually that of a ConstantLr, from the epoch after a plateau on.
/// The rules are those of PyTorch's ReduceLROnPlateau with its relative threshold.
class ReduceOnPlateau : public TrainHook {
 public:
  /// Throws ValueError for settings out of range.
  explicit ReduceOnPlateau(Watched watched, const ReduceOnPlateauOptions& options = {});
  /// What the schedule's rate is multiplied by now.
  double scale() const { return scale_; }

  void before_step(TrainState& state) override;
  void end_of_epoch(TrainState& state) override;
  std::map<std::string, Tensor> state() const override;
  void load_state(const std::map<std::string, Tensor>& state) override;

 private:
  Watched watched_;
  ReduceOnPlateauOptions options_;
  detail::BestSoFar best_;
  int64_t cooling_ = 0;  // epochs that are left of the cooldown
  double scale_ = 1.0;
};

}  // namespace espalier::nn
