// SPDX-License-Identifier: Apache-2.0
/// PositionGate: every output value of a convolution is first computed from a part of the input
/// channels; where a decision on these partial sums leaves it closed, that is the result, and only
/// elsewhere the other channels are added.
///
///   Y_p = W_p * x_p                         group g of the outputs reads part g of the inputs
///   y = Y_p + open (W_r * x_r)              the rest of the inputs
///
/// Source: Hua, Zhou, De Sa, Zhang, Suh, arXiv:1805.12549, section 3. One batch norm follows the
/// layer (the paper has one for each kind of value), channels are not shuffled.
#pragma once

#include <espalier/nn/forms/form.h>
#include <espalier/nn/gates/gate.h>

namespace espalier::nn::detail {
class PositionGatedPlanes;
}

namespace espalier::nn {

/// See above. The layer must have groups 1.
class PositionGate : public Form, public Gate {
 public:
  /// The partial sum has 1/parts of the input channels. Throws ValueError unless parts is positive.
  PositionGate(int64_t parts, std::shared_ptr<Decision> decision);

  void visit(MemberVisitor& visitor) override { visitor.inner(decision_); }
  std::string describe() const override;
  std::string kind() const override { return "positions"; }
  std::map<std::string, double> settings() const override;
  std::map<std::string, std::string> words() const override { return decision_word(); }
  std::string_view member() const override { return "gate"; }
  bool differs_by_sample() const override { return true; }
  bool replaces_product() const override { return true; }
  Variable product(const Variable& x, const LayerProduct& layer) override;

  /// 1/parts of the input channels are always computed.
  int64_t parts() const { return parts_; }

 protected:
  /// What is decided for partial sums (N,K,P,Q): ones and zeros, in their layout.
  Variable forward(const Variable& partial) override { return decide(partial); }
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<PositionGate>(*this);
  }

 private:
  Variable skip(const Variable& x, const LayerProduct& layer, Conv2dShape shape);
  std::shared_ptr<const detail::PositionGatedPlanes> packed(const Conv2dShape& shape,
                                                            const Tensor& weight);
  Variable partial_sum(const Variable& x, const Parameter& weight, const Conv2dOptions& options);
  /// The sum over the weights of which `part` (uint8) is 1, by kernels that skip the others.
  static Variable masked_sum(const Variable& x,
                             const Parameter& weight,
                             const Conv2dOptions& options,
                             const Tensor& part,
                             SupportOf& support);

  /// The weight made ready for the kernel, and what it was made of.
  struct Packed {
    Tensor source;
    Conv2dShape shape;
    std::shared_ptr<const detail::PositionGatedPlanes> planes;
  };

  int64_t parts_;
  SupportOf base_, rest_;  // of the weight's two parts, for kernels
  std::shared_ptr<const Packed> packed_;
};

}  // namespace espalier::nn
