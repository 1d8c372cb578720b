// SPDX-License-Identifier: Apache-2.0
/// PositionGate: channel gating. Every output value is first computed from a part of the input
/// channels; where that partial sum, normalized, stays below a learnt threshold, it is the result,
/// and only elsewhere the other channels are added.
///
///   Y_p = W_p * x_p                         group g of the outputs reads part g of the inputs
///   d = 1 where norm(Y_p) - Delta >= 0      norm without scale and shift, Delta per output channel
///   y = Y_p + d (W_r * x_r)                 the rest of the inputs
///
/// The gradient of d is that of sigmoid(alpha (norm(Y_p) - Delta)).
///
/// Source: Hua, Zhou, De Sa, Zhang, Suh, arXiv:1805.12549, section 3. One batch norm follows the
/// layer (the paper has one for each kind of value), channels are not shuffled.
#pragma once

#include <espalier/nn/gates/gate.h>

namespace espalier::nn::detail {
class PositionGatedPlanes;
}

namespace espalier::nn {

/// See above. The layer must have groups 1.
class PositionGate : public ConvGate {
 public:
  /// Settings of one gate.
  struct Options {
    int64_t channels = 0;      ///< of the convolution's output
    int64_t parts = 4;         ///< p: the partial sum has 1/p of the input channels
    double slope = 2.0;        ///< alpha
    double momentum = 0.1;     ///< of the running statistics
    double eps = 1e-5;         ///< added to the variance
    bool sparse_back = false;  ///< no gradient to the gate where it is closed
  };
  /// Thresholds 0. Throws ValueError for sizes that are not positive.
  explicit PositionGate(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  std::string kind() const override { return "positions"; }
  std::map<std::string, double> settings() const override;
  Variable conv2d(const Variable& x,
                  const Parameter& weight,
                  const Parameter& bias,
                  const Conv2dOptions& options) override;

  /// (channels): in evaluation a position is open from this partial sum on.
  std::vector<float> least_partial_sums() const;
  /// As given.
  const Options& options() const { return options_; }

  Parameter threshold;  ///< Delta, (channels); no weight decay
  Tensor running_mean;  ///< of the partial sums, (channels)
  Tensor running_var;   ///< of the partial sums, (channels)

 protected:
  /// d (N,K,P,Q), ones and zeros, of the partial sums Y_p, in their layout.
  Variable forward(const Variable& partial) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<PositionGate>(*this);
  }

 private:
  Variable skip(const Variable& x, const Tensor& weight, const Tensor& bias, Conv2dShape shape);
  std::shared_ptr<const detail::PositionGatedPlanes> packed(const Conv2dShape& shape,
                                                            const Tensor& weight);
  Variable partial_sum(const Variable& x, const Variable& weight, const Conv2dOptions& options);

  /// The weight made ready for the kernel, and what it was made of.
  struct Packed {
    Tensor source;
    Conv2dShape shape;
    std::shared_ptr<const detail::PositionGatedPlanes> planes;
  };

  Options options_;
  std::shared_ptr<const Packed> packed_;
};

}  // namespace espalier::nn
