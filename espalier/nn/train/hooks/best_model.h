// SPDX-License-Identifier: Apache-2.0
/// BestModel: keeps the weights of the best epoch.
#pragma once

#include <filesystem>

#include <espalier/nn/train/hooks/best_so_far.h>
#include <espalier/nn/train/hooks/watched.h>

namespace espalier::nn {

/// Where BestModel keeps weights.
struct BestModelOptions {
  std::filesystem::path file = {};  ///< a safetensors file of the state dict; empty: none
  bool in_memory = true;            ///< for `restore`; checkpoints then hold these weights too
};

/// Copies the model's state dict (weights, masks, buffers) whenever an epoch ends with a better
/// number than all before.
class BestModel : public TrainHook {
 public:
  /// Throws ValueError when it is to keep nothing.
  explicit BestModel(Watched watched, BestModelOptions options = {});
  /// The best number so far; NaN before the first.
  double best() const { return best_.best(); }
  /// The epoch that it is of; -1 before the first.
  int64_t epoch() const { return epoch_; }
  /// Puts the best weights into `model`. Throws ValueError when there are none in memory.
  void restore(Module& model) const;

  void end_of_epoch(TrainState& state) override;
  std::map<std::string, Tensor> state() const override;
  void load_state(const std::map<std::string, Tensor>& state) override;

 private:
  Watched watched_;
  BestModelOptions options_;
  detail::BestSoFar best_;
  int64_t epoch_ = -1;
  std::map<std::string, Tensor> weights_;
};

}  // namespace espalier::nn
