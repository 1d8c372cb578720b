// SPDX-License-Identifier: Apache-2.0
/// SGD with momentum.
#pragma once

#include <espalier/nn/train/optimizer.h>

namespace espalier::nn {

/// Settings of SGD.
struct SgdOptions {
  double lr = 0.1;        ///< learning rate
  double momentum = 0.0;  ///< share of the old direction
  bool nesterov = false;  ///< look ahead along the direction
};

/// g = gradient + weight_decay * w; b = momentum * b + g; w -= lr * (nesterov ? g + momentum * b :
/// b). Weight decay comes from the parameter groups. One pass over memory per parameter. State:
/// `momentum_buffer`, only with momentum. Source: Sutskever et al., ICML 2013, in PyTorch's form
/// (the learning rate is not in the buffer).
class Sgd : public Optimizer {
 public:
  /// Throws ValueError for negative settings, or Nesterov without momentum.
  Sgd(std::vector<ParameterGroup> groups, const SgdOptions& options);
  /// All parameters of a model in one group.
  Sgd(Module& model, const SgdOptions& options, double weight_decay = 0.0);
  /// The share of the last step's direction that stays.
  double momentum() const { return options_.momentum; }

 protected:
  std::vector<std::string> slot_kinds(const NamedParameter& parameter) const override;
  void update(NamedParameter& parameter, ParameterState& state, double lr, double decay) override;

 private:
  SgdOptions options_;
};

}  // namespace espalier::nn
