// SPDX-License-Identifier: Apache-2.0
/// GumbelHead: a small network in front of a layer that says which parts the sample needs, and is
/// trained by drawing them.
///
///   h = relu(norm(V mean over space of x))
///   (a, b) = W h + c                                    closed and open, of every part
///   p = sigmoid(b - a + log u - log(1 - u))             u uniform; in training where it `draws`
///   open = 1 where p >= 1/2, else 0                     with the gradient of p
///
/// The difference of two numbers of Gumbel's law is log u - log(1 - u): p is the softmax of two
/// classes with Gumbel noise, at temperature 1. Without noise, as in evaluation, the likelier wins.
///
/// Source: Veit, Belongie, arXiv:1711.11503, and its published code.
#pragma once

#include <espalier/nn/gates/decision.h>

namespace espalier::nn {

/// A decision on a block or on channels.
class GumbelHead : public Decision {
 public:
  /// Settings of one decision.
  struct Options {
    int64_t inputs = 0;        ///< channels of x
    int64_t units = 1;         ///< channels to be decided on; 1 for a block
    int64_t hidden = 16;       ///< of h
    double closed_bias = 0.1;  ///< c of closed at first
    double open_bias = 2.0;    ///< c of open at first: 2 - 0.1 is an opening rate of 0.87
    double momentum = 0.1;     ///< of the running statistics
    double eps = 1e-5;         ///< added to the variance
  };
  /// V normal with deviation sqrt(2 / hidden), W with 0.001; these and the biases are of the
  /// published code. Throws ValueError for sizes that are not positive.
  explicit GumbelHead(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;
  std::string kind() const override { return "gumbel-head"; }
  std::map<std::string, double> settings() const override;
  Decided decide(const Variable& x) override;
  /// The norm is folded into V.
  std::optional<BlockRule> block_rule() const override;

  Parameter hidden;     ///< V, (hidden, inputs)
  Parameter scale;      ///< of the norm, (hidden)
  Parameter shift;      ///< of the norm, (hidden)
  Tensor running_mean;  ///< of V mean(x), (hidden)
  Tensor running_var;   ///< of V mean(x), (hidden)
  Parameter weight;     ///< W, (2 units, hidden): closed, then open
  Parameter bias;       ///< c, (2 units)
  /// Whether training draws; not saved.
  bool draws = true;
  Rng noise;  ///< where the next draw comes from

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<GumbelHead>(*this);
  }

 private:
  Options options_;
};

}  // namespace espalier::nn
