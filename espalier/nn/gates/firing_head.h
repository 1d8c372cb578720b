// SPDX-License-Identifier: Apache-2.0
/// FiringHead: a small network foretells which channels of a layer will fire, and learns that from
/// what fired.
///
///   z = W softmax(mean over space of x) + b                               the price; x detached
///   open = 1 where sigmoid(z) > 1/2, else 0                               no gradient
///   seen = max over space of max(y, 0)                                    detached
///
/// Source: Elkerdawy, Elhoushi, Zhang, Ray, arXiv:2110.08232 (FTWT).
#pragma once

#include <espalier/nn/gates/decision.h>

namespace espalier::nn {

/// A decision on channels.
class FiringHead : public Decision {
 public:
  /// Settings of one decision.
  struct Options {
    int64_t inputs = 0;      ///< channels of x
    int64_t units = 0;       ///< channels to be decided on
    double open_bias = 1.0;  ///< b at first; above 0 all are open
  };
  /// W normal with deviation 0.01. Throws ValueError for sizes that are not positive.
  explicit FiringHead(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;
  std::string kind() const override { return "firing-head"; }
  Decided decide(const Variable& x) override;
  Variable look(const Variable& y) override;

  Parameter weight;  ///< W, (units, inputs); no weight decay
  Parameter bias;    ///< b, (units); no weight decay

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<FiringHead>(*this);
  }

 private:
  Options options_;
};

}  // namespace espalier::nn
