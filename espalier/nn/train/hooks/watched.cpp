// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/hooks/watched.h>

namespace espalier::nn {

Watched training_loss() {
  return {"loss", [](const TrainState& state) { return state.loss; }, false};
}

Watched training_accuracy() {
  return {"accuracy", [](const TrainState& state) { return state.accuracy; }, true};
}

}  // namespace espalier::nn
