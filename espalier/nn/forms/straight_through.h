// SPDX-License-Identifier: Apache-2.0
/// StraightThrough: dense weights of which the largest are multiplied with, chosen anew in every
/// pass. The gradient of the sparse product passes straight through to all weights; those that are
/// out decay a little, so that the choice settles.
///
///   e = m * w,  m = the N largest |w| of every M inputs    dL/dw = dL/de + decay (1 - m) w
///
/// Source: Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li, arXiv:2102.04010, equation 9 (SR-STE).
#pragma once

#include <functional>

#include <espalier/nn/forms/form.h>
#include <espalier/nn/forms/select.h>

namespace espalier::nn {

/// See above. Its buffers `mask` (uint8, the newest choice) and `flips` are saved with the network.
class StraightThrough : public Form {
 public:
  /// Settings of one form.
  struct Options {
    NOfM pattern = {};    ///< which weights are chosen
    double decay = 2e-4;  ///< lambda, in the gradient of weights that are out
  };
  /// Another choice, from the dense weight: uint8 (its shape), contiguous.
  using Choice = std::function<Tensor(const Tensor& weight)>;

  /// Throws ValueError unless 1 <= N <= M, ShapeError when M does not divide the inputs.
  StraightThrough(const Shape& weight, const Options& options);
  /// Chooses by a function of the caller's. It is not told in files: a network that is restored
  /// chooses by `options.pattern`.
  StraightThrough(const Shape& weight, const Options& options, Choice choice);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  std::string kind() const override { return "straight-through"; }
  std::map<std::string, double> settings() const override;
  /// The decay joins the gradient in training alone.
  Effective effective(const Parameter& weight) override;

  /// The choice for the present weight.
  const std::shared_ptr<const sparse::Support>& chosen(const Parameter& weight);
  /// How many mask entries changed since this was last asked, each change from one pass to the
  /// next (and to the present weight) counted; from a mask of ones at first. Then forgotten.
  int64_t take_flips(const Parameter& weight);

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<StraightThrough>(*this);
  }

 private:
  Options options_;
  Choice choice_;
  Tensor mask_;    // uint8
  Tensor flips_;   // int64
  Tensor source_;  // the weight that mask_ is of
  SupportOf pattern_;
};

}  // namespace espalier::nn
