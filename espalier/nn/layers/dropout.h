// SPDX-License-Identifier: Apache-2.0
/// Dropout: random zeros in training, nothing in evaluation.
#pragma once

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// In training sets each element to 0 with probability p and scales the rest by 1/(1-p).
/// The generator `rng` is a saved member; `init_parameters` seeds it by name, so that two dropout
/// layers of a model draw different numbers. Source: Srivastava et al., JMLR 2014.
class Dropout : public Module {
 public:
  /// Throws ValueError unless 0 <= p < 1.
  explicit Dropout(double p = 0.5);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }
  /// Probability of a zero.
  double p() const { return p_; }

  Rng rng;  ///< where the next mask comes from

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Dropout>(*this); }

 private:
  double p_;
};

}  // namespace espalier::nn
