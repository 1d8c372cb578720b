// SPDX-License-Identifier: Apache-2.0
/// ThresholdHead: a small network says how much every channel matters for this sample; those above
/// a threshold that the last epoch of training has set are open, and multiplied with it.
///
///   pi = relu(W relu(V mean over space of x) + b)                         the price
///   open = pi where pi >= xi, else 0
///
/// xi is the k-th largest of the epoch's means of pi, so that in evaluation it is a constant and no
/// sample depends on another.
///
/// Source: Tang, Wang, Xu, Deng, Xu, Tao, Xu, arXiv:2103.05861 (ManiDP).
#pragma once

#include <espalier/nn/gates/decision.h>

namespace espalier::nn {

/// A decision on channels.
class ThresholdHead : public Decision {
 public:
  /// Settings of one decision.
  struct Options {
    int64_t inputs = 0;   ///< channels of x
    int64_t units = 0;    ///< channels to be decided on
    int64_t squeeze = 4;  ///< W reads inputs / squeeze numbers, at least one
  };
  /// All channels open. Throws ValueError for sizes that are not positive.
  explicit ThresholdHead(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  /// V as He et al., W normal with deviation 0.01, b 1: pi is about 1 at first. (Published code: W
  /// as He et al., too, so that pi spreads around 1.)
  void reset_parameters(const InitRng& rng) override;
  std::string kind() const override { return "threshold-head"; }
  std::map<std::string, double> settings() const override;
  /// The gradient passes to what is open alone.
  Decided decide(const Variable& x) override;
  /// The mean of max(y, 0) over space, the same whether a ReLU stands in y or behind it.
  Variable look(const Variable& y) override;

  /// Counts the mean loss of a step's samples for the epoch.
  void add_loss(double loss, int64_t samples);
  /// Sets the threshold so that `kept` of the channels reach it on average, and begins another
  /// epoch; without a step since the last call nothing changes. Throws ValueError when out of
  /// range.
  void end_epoch(int64_t kept);
  /// Mean loss of the last epoch; 0 in the first.
  double last_loss() const { return last_loss_.item(); }
  /// xi; -10000 before the first epoch's end.
  double threshold() const { return threshold_.item(); }

  Parameter squeezed;  ///< V, (inputs / squeeze, inputs)
  Parameter weight;    ///< W, (units, inputs / squeeze)
  Parameter bias;      ///< b, (units)

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<ThresholdHead>(*this);
  }

 private:
  Options options_;
  Tensor threshold_;  // float64, as all that follow
  Tensor sums_;       // of pi, (units), and of samples, over the running epoch
  Tensor seen_;
  Tensor losses_;  // summed over samples
  Tensor last_loss_;
};

}  // namespace espalier::nn
