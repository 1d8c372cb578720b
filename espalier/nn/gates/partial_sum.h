// SPDX-License-Identifier: Apache-2.0
/// PartialSum: channel gating. Where a partial sum, normalized, stays below a learnt threshold, it
/// is the result.
///
///   d = 1 where norm(Y_p) - Delta >= 0      norm without scale and shift, Delta per output channel
///
/// The gradient of d is that of sigmoid(slope (norm(Y_p) - Delta)).
///
/// Source: Hua, Zhou, De Sa, Zhang, Suh, arXiv:1805.12549, section 3.
#pragma once

#include <espalier/nn/gates/decision.h>

namespace espalier::nn {

/// A decision on positions.
class PartialSum : public Decision {
 public:
  /// Settings of one decision.
  struct Options {
    int64_t channels = 0;      ///< of the convolution's output
    double slope = 2.0;        ///< alpha
    double momentum = 0.1;     ///< of the running statistics
    double eps = 1e-5;         ///< added to the variance
    bool sparse_back = false;  ///< no gradient to the gate where it is closed
  };
  /// Thresholds 0. Throws ValueError for sizes that are not positive.
  explicit PartialSum(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  std::string kind() const override { return "partial-sum"; }
  std::map<std::string, double> settings() const override;
  /// Ones and zeros, in the partial sums' layout; no price.
  Decided decide(const Variable& partial) override;
  std::optional<std::vector<float>> least_partial_sums() const override;
  /// Threshold, target and steepness at the start.
  const Options& options() const { return options_; }

  Parameter threshold;  ///< Delta, (channels); no weight decay
  Tensor running_mean;  ///< of the partial sums, (channels)
  Tensor running_var;   ///< of the partial sums, (channels)

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<PartialSum>(*this);
  }

 private:
  Options options_;
};

/// The threshold T that leaves this share of normal partial sums as they are: P(normal < T) =
/// share. T stays within +-4: beyond, a thousand values in a layer have no exception.
double normal_threshold(double share);

}  // namespace espalier::nn
