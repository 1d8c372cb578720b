// SPDX-License-Identifier: Apache-2.0
/// Head: a small network in front of a layer that says which parts the sample needs.
///
///   p = sigmoid(W mean over space of x + b)         the price
///   open = 1 where p >= 1/2, else 0                 with the gradient of p
///   open = 1 with probability p, else 0             in training where it `draws`; no gradient
///
/// Source: Wang, Yu, Dou, Darrell, Gonzalez, arXiv:1711.09485, in its simplest form: one linear
/// layer. With Gumbel noise: gumbel_head.h.
#pragma once

#include <espalier/nn/gates/decision.h>

namespace espalier::nn {

/// A decision on a block or on channels.
class Head : public Decision {
 public:
  /// Settings of one decision.
  struct Options {
    int64_t inputs = 0;      ///< channels of x
    int64_t units = 1;       ///< channels to be decided on; 1 for a block
    double open_bias = 1.9;  ///< b at first: 1.9 is an opening rate of 0.87
  };
  /// W normal with deviation 0.001. Throws ValueError for sizes that are not positive.
  explicit Head(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;
  std::string kind() const override { return "head"; }
  std::map<std::string, double> settings() const override;
  Decided decide(const Variable& x) override;
  std::optional<BlockRule> block_rule() const override;

  Parameter weight;  ///< W, (units, inputs)
  Parameter bias;    ///< b, (units)
  /// Whether training draws what is open, for rewards (prune/penalties/reinforce.h); not saved.
  bool draws = false;
  Rng noise;  ///< where the next draw comes from

 protected:
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Head>(*this); }

 private:
  Options options_;
};

}  // namespace espalier::nn
