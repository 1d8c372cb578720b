// SPDX-License-Identifier: Apache-2.0
/// Validation: the network on samples that it is not trained on, after every epoch.
#pragma once

#include <espalier/nn/train/hooks/watched.h>

namespace espalier::nn {

/// Evaluates once an epoch; the hooks that watch its numbers come after it in the list. Keeps
/// nothing that a resumed run would need.
class Validation : public TrainHook {
 public:
  /// `samples` must outlive it.
  explicit Validation(data::Loader& samples) : samples_(samples) {}
  /// Of the newest epoch. Throws ValueError before the first has ended.
  const Evaluation& newest() const;
  /// The loss, `validation_loss`. The hook must outlive it; reading it in an epoch that the hook
  /// has not seen is a ValueError.
  Watched loss() const;
  /// The same for the accuracy, `validation_accuracy`, as a fraction.
  Watched accuracy() const;

  void end_of_epoch(TrainState& state) override;

 private:
  const Evaluation& of(const TrainState& state) const;

  data::Loader& samples_;
  Evaluation newest_;
  int64_t step_ = -1;  // in training, when it was made
};

}  // namespace espalier::nn
