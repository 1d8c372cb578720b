// SPDX-License-Identifier: Apache-2.0
/// Adagrad.
#pragma once

#include <espalier/nn/train/optimizer.h>

namespace espalier::nn {

/// Settings of Adagrad.
struct AdagradOptions {
  double lr = 0.01;             ///< learning rate
  double lr_decay = 0.0;        ///< the rate of update t = 0, 1, .. is lr / (1 + t * lr_decay)
  double initial_square = 0.0;  ///< in every sum from the start (initial_accumulator_value)
  double eps = 1e-10;           ///< added to the root of the sum
};

/// g = gradient + weight_decay * w; s = s + g^2; w -= lr / (1 + t * lr_decay) * g / (sqrt(s +
/// initial_square) + eps), t the parameter's updates before. The sum never forgets: of an entry
/// that a mask took out and regrowth brought back it starts from zero; t stays the parameter's.
///
/// State: `sum`, without `initial_square`. One pass over memory per parameter. Source: Duchi,
/// Hazan, Singer, JMLR 12 (2011), figure 1, in PyTorch's form.
class Adagrad : public Optimizer {
 public:
  /// Throws ValueError for settings out of range.
  Adagrad(std::vector<ParameterGroup> groups, const AdagradOptions& options);
  /// All parameters of a model in one group.
  Adagrad(Module& model, const AdagradOptions& options, double weight_decay = 0.0);

 protected:
  std::vector<std::string> slot_kinds(const NamedParameter&) const override { return {"sum"}; }
  void update(NamedParameter& parameter, ParameterState& state, double lr, double decay) override;

 private:
  AdagradOptions options_;
};

}  // namespace espalier::nn
