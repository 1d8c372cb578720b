// SPDX-License-Identifier: Apache-2.0
/// Watched: a number that hooks look at when an epoch ends: training's own loss and accuracy, those
/// of a validation set (validation.h), or any other.
#pragma once

#include <functional>
#include <string>

#include <espalier/nn/train/fit.h>

namespace espalier::nn {

/// A number of the epoch that has just ended, and which way is up.
struct Watched {
  std::string name;  ///< in texts and as the head of a column
  /// Called at most once by each hook at the end of an epoch.
  std::function<double(const TrainState&)> value;
  bool higher_is_better = false;  ///< as accuracy; false: as a loss
};

/// The mean loss of the epoch, `loss`.
Watched training_loss();
/// The training accuracy of the epoch, as a fraction, `accuracy`.
Watched training_accuracy();

}  // namespace espalier::nn
