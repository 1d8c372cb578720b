// SPDX-License-Identifier: Apache-2.0
/// RMSprop.
#pragma once

#include <espalier/nn/train/optimizer.h>

namespace espalier::nn {

/// Settings of RMSprop.
struct RmsPropOptions {
  double lr = 0.01;       ///< learning rate
  double alpha = 0.99;    ///< share of the old mean square
  double eps = 1e-8;      ///< added to the root of the mean square
  double momentum = 0.0;  ///< share of the old direction
  bool centered = false;  ///< divide by the standard deviation of the gradient instead
};

/// g = gradient + weight_decay * w; v = alpha*v + (1-alpha)*g^2; u = g / (sqrt(v) + eps), with
/// `centered` of v - m^2, m = alpha*m + (1-alpha)*g; b = momentum*b + u; w -= lr * b. No moment is
/// corrected for its beginning, so a regrown entry, whose state is zero, moves as one of a new
/// optimizer.
///
/// State: `square_avg`, with momentum `momentum_buffer`, centered `grad_avg`. One pass over memory
/// per parameter. Source: Tieleman, Hinton, Neural networks for machine learning, lecture 6.5
/// (2012), in PyTorch's form; centered: Graves, arXiv:1308.0850, section 4.2.
class RmsProp : public Optimizer {
 public:
  /// Throws ValueError for settings out of range.
  RmsProp(std::vector<ParameterGroup> groups, const RmsPropOptions& options);
  /// All parameters of a model in one group.
  RmsProp(Module& model, const RmsPropOptions& options, double weight_decay = 0.0);

 protected:
  std::vector<std::string> slot_kinds(const NamedParameter& parameter) const override;
  void update(NamedParameter& parameter, ParameterState& state, double lr, double decay) override;

 private:
  RmsPropOptions options_;
};

}  // namespace espalier::nn
