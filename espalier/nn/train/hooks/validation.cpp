// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/hooks/validation.h>

namespace espalier::nn {

const Evaluation& Validation::newest() const {
  ESPALIER_CHECK(step_ >= 0, ValueError, "Validation: no epoch has ended yet");
  return newest_;
}

const Evaluation& Validation::of(const TrainState& state) const {
  ESPALIER_CHECK(step_ == state.step + state.progress.repeated,
                 ValueError,
                 "Validation: is asked for the epoch that ended with step ",
                 state.step,
                 ", which it has not seen; it must stand in the list of hooks, before those that "
                 "watch it");
  return newest_;
}

Watched Validation::loss() const {
  return {"validation_loss", [this](const TrainState& state) { return of(state).loss; }, false};
}

Watched Validation::accuracy() const {
  return {"validation_accuracy",
          [this](const TrainState& state) { return of(state).accuracy(); },
          true};
}

void Validation::end_of_epoch(TrainState& state) {
  newest_ = evaluate(state.model, samples_);
  step_ = state.step + state.progress.repeated;
}

}  // namespace espalier::nn
