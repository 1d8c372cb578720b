// SPDX-License-Identifier: Apache-2.0
/// Adam and AdamW.
#pragma once

#include <espalier/nn/train/kernels/update.h>
#include <espalier/nn/train/optimizer.h>

namespace espalier::nn {

/// Settings of Adam.
struct AdamOptions {
  double lr = 1e-3;      ///< learning rate
  double beta1 = 0.9;    ///< share of the old mean gradient
  double beta2 = 0.999;  ///< share of the old mean square
  double eps = 1e-8;     ///< added to the root of the mean square
  /// AdamW: weight decay shrinks the weight by lr * weight_decay instead of joining the gradient.
  bool decoupled_decay = false;
  /// AMSGrad: divide by the root of the largest v so far instead of the newest. Source: Reddi et
  /// al., arXiv:1904.09237, algorithm 2, with the correction of v by its step count that PyTorch
  /// keeps.
  bool amsgrad = false;
};

/// m = beta1*m + (1-beta1)*g; v = beta2*v + (1-beta2)*g^2;
/// w -= lr / (1-beta1^t) * m / (sqrt(v / (1-beta2^t)) + eps), t the parameter's step count.
/// Age: an entry that a mask took out and regrowth brought back starts again with m = v = 0 and
/// t = 0, and has its own t from there on, in both corrections; all others keep the parameter's t.
/// PyTorch's optimizer, which has one t for a tensor, would make the first update of such an entry
/// (1-beta1)/sqrt(1-beta2) = 3.2 times lr instead of lr. An entry loses its age with its moments
/// when the optimizer first meets the mask that takes it out; one that stays keeps both.
///
/// State: `exp_avg`, `exp_avg_sq`, with AMSGrad `max_exp_avg_sq`, `step`, and of parameters that
/// have had a mask `age`, the t of each entry. One pass over memory per parameter. Source: Kingma,
/// Ba, arXiv:1412.6980, algorithm 1; decoupled: arXiv:1711.05101, algorithm 2.
class Adam : public Optimizer {
 public:
  /// Throws ValueError for settings out of range.
  Adam(std::vector<ParameterGroup> groups, const AdamOptions& options);
  /// All parameters of a model in one group.
  Adam(Module& model, const AdamOptions& options, double weight_decay = 0.0);

 protected:
  std::vector<std::string> slot_kinds(const NamedParameter& parameter) const override;
  bool counts_entries(const NamedParameter&) const override { return true; }
  void update(NamedParameter& parameter, ParameterState& state, double lr, double decay) override;

 private:
  AdamOptions options_;
  std::vector<kernels::AdamCorrection> corrections_;  // by number of updates
};

/// Adam with decoupled weight decay.
class AdamW : public Adam {
 public:
  /// Throws ValueError for settings out of range.
  AdamW(std::vector<ParameterGroup> groups, AdamOptions options);
  /// All parameters of a model in one group.
  AdamW(Module& model, AdamOptions options, double weight_decay = 0.01);
};

}  // namespace espalier::nn
