// SPDX-License-Identifier: Apache-2.0
/// EarlyStopping: ends training when a number has not become better for some epochs.
#pragma once

#include <espalier/nn/train/hooks/best_so_far.h>
#include <espalier/nn/train/hooks/watched.h>

namespace espalier::nn {

/// When EarlyStopping ends a training.
struct EarlyStoppingOptions {
  int64_t patience = 5;       ///< epochs in a row without a better number that end it, at least 1
  double min_delta = 0.0;     ///< better means: by more than this
  bool restore_best = false;  ///< at the end of training the weights of the best epoch come back
};

/// Asks to stop at the end of the epoch that is the `patience`-th in a row without a better number;
/// `FitResult::stopped_by` then begins with `early stopping`. The rule is Keras's. With
/// `restore_best` the best weights (and masks and buffers) come back at the end of training,
/// whoever ended it.
class EarlyStopping : public TrainHook {
 public:
  /// Throws ValueError for patience below 1 or a negative `min_delta`.
  explicit EarlyStopping(Watched watched, const EarlyStoppingOptions& options = {});
  /// The best number so far; NaN before the first.
  double best() const { return best_.best(); }

  void end_of_epoch(TrainState& state) override;
  void end_of_training(TrainState& state) override;
  std::map<std::string, Tensor> state() const override;
  void load_state(const std::map<std::string, Tensor>& state) override;

 private:
  Watched watched_;
  EarlyStoppingOptions options_;
  detail::BestSoFar best_;
  std::map<std::string, Tensor> weights_;  // of the best epoch
};

}  // namespace espalier::nn
