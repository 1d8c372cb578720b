// SPDX-License-Identifier: Apache-2.0
/// What a killed run leaves behind, for tests that go on from there.
#pragma once

#include <map>
#include <string>

#include <espalier/nn/forms/slots.h>
#include <espalier/prune/drive/pruner.h>

namespace espalier::prune::testing {

/// All that a checkpoint holds.
struct Checkpoint {
  std::map<std::string, Tensor> model;
  std::map<std::string, Tensor> random;
  std::map<std::string, Tensor> optimizer;
  std::map<std::string, Tensor> pruner;
  nn::TrainProgress progress;
};

inline std::map<std::string, Tensor> copied(const std::map<std::string, Tensor>& tensors) {
  std::map<std::string, Tensor> result;
  for (const auto& [name, tensor] : tensors) result[name] = tensor.clone();
  return result;
}

/// Makes a model that was attached to, and its optimizer and pruner, what they were.
inline void restore(const Checkpoint& saved,
                    nn::Module& model,
                    nn::Optimizer& optimizer,
                    Pruner& pruner) {
  nn::take_off_folded(model, saved.model);
  optimizer.forget_missing(model);
  model.load_state_dict(saved.model);
  model.load_rng_state(saved.random);
  optimizer.load_state_dict(saved.optimizer);
  pruner.load_state(saved.pruner);
}

/// Saves after one step, as if the process were killed there.
class SaveAt : public nn::TrainHook {
 public:
  SaveAt(int64_t step, Pruner& pruner) : step_(step), pruner_(pruner) {}
  void after_step(nn::TrainState& state) override {
    if (state.step != step_) return;
    saved = {copied(state.model.state_dict()),
             copied(state.model.rng_state()),
             copied(state.optimizer.state_dict()),
             copied(pruner_.state()),
             state.progress};
  }
  Checkpoint saved;

 private:
  int64_t step_;
  Pruner& pruner_;
};

}  // namespace espalier::prune::testing
