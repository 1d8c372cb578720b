// SPDX-License-Identifier: Apache-2.0
/// BernoulliMask: a random choice among weights that are never trained. Every weight has a number,
/// the sigmoid of which is the probability that it is multiplied with; each pass in training draws
/// anew, and the gradient passes straight through the draw.
///
///   e = w * M r,  M ~ Bernoulli(sigmoid(t)),  r = weights / sum M or 1
///   dL/dt = dL/dM sigmoid'(t), everywhere; without r dL/dM = dL/de * w
///
/// Source: Zhou, Lan, Liu, Yosinski, arXiv:1905.01067; the gradient goes through the sum as in the
/// published code.
#pragma once

#include <espalier/nn/forms/form.h>

namespace espalier::nn {

/// See above.
class BernoulliMask : public Form {
 public:
  /// Settings of one form.
  struct Options {
    double probability = 0.5;  ///< of every weight at first
    bool rescaled = true;      ///< r, which keeps the size of sums over many weights
    /// In evaluation the so many most probable weights are multiplied with; 0: a draw, the one that
    /// the next pass in training makes.
    int64_t kept = 0;
    uint64_t seed = 0;   ///< of the draws
    int64_t number = 0;  ///< of the form in its network: forms differ by it
  };

  /// Throws ValueError unless 0 < probability < 1 and 0 <= kept <= weights.
  BernoulliMask(const Shape& weight, const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;
  std::string kind() const override { return "bernoulli-mask"; }
  std::map<std::string, double> settings() const override;
  /// The weight gets no gradient. A weight that has a mask keeps it.
  Effective effective(const Parameter& weight) override;

  Parameter logits;  ///< t, in the weight's shape. No weight decay.

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<BernoulliMask>(*this);
  }

 private:
  /// uint8, in the weight's shape.
  Tensor draw(const Tensor& probabilities) const;

  Options options_;
  Rng draws_;  // its position counts passes in training
  SupportOf pattern_;
};

}  // namespace espalier::nn
