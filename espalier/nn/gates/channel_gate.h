// SPDX-License-Identifier: Apache-2.0
/// ChannelGate: feature boosting and suppression. From the means of a convolution's input channels
/// it foretells how much each output channel will matter for this sample, computes the k most
/// salient ones, and boosts each by its saliency, which takes the place of batch norm's scale.
///
///   s_c = mean over space of |x_c|,  g = max(s phi^T + rho, 0)            saliencies
///   pi = g where g is among the k largest of the sample (ties: the first), else 0
///   y = pi * (norm(conv(x)) + beta)                                       norm without scale
///
/// Source: Gao, Zhao, Dudziak, Mullins, Xu, arXiv:1810.05331, equations 4 to 8.
#pragma once

#include <espalier/nn/gates/gate.h>

namespace espalier::nn {

/// Held by a convolution, which decides, and by the batch norm behind it, which multiplies.
class ChannelGate : public ConvGate {
 public:
  /// Sizes of the convolution.
  struct Options {
    int64_t in_channels = 0;   ///< C
    int64_t out_channels = 0;  ///< K
  };
  /// All channels open, phi = 0, rho = 1. Throws ValueError for sizes that are not positive.
  explicit ChannelGate(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  std::string kind() const override { return "channels"; }
  std::map<std::string, double> settings() const override { return {}; }
  /// Decides, and computes the chosen channels; what `behind_norm` then needs is kept for it.
  Variable conv2d(const Variable& x,
                  const Parameter& weight,
                  const Parameter& bias,
                  const Conv2dOptions& options) override;

  /// What batch norm does in evaluation, by channel: y = x * scale + shift.
  struct Affine {
    std::vector<float> scale;  ///< (K)
    std::vector<float> shift;  ///< (K)
  };
  /// True when the convolution left channels out: batch norm then calls `finish`.
  bool skipped() const { return skipped_; }
  /// pi * (y * scale + shift) for the channels that were computed, 0 for the others; then the
  /// residual (may be undefined) is added, and the ReLU done. In y's layout, and in y's memory if
  /// that is plain. Throws ValueError as `boost`.
  Variable finish(const Variable& y, const Affine& affine, const Variable& residual, bool relu);
  /// Otherwise: pi * y, y (N,K,P,Q) the normalized convolution. Throws ValueError when no
  /// convolution decided before.
  Variable boost(const Variable& y);

  /// k, at least 1. Throws ValueError when out of range.
  void keep(int64_t channels);
  /// k, at first all channels.
  int64_t kept() const;
  /// The newest saliencies g (N,K), with their tape; then forgotten. For the penalty on their sum.
  Variable take_saliency();

  Parameter weight;  ///< phi, (out_channels, in_channels)
  Parameter bias;    ///< rho, (out_channels)

 protected:
  /// pi (N,K) of the convolution's input x (N,C,H,W), in x's layout. The gradient passes to the
  /// chosen saliencies only.
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<ChannelGate>(*this);
  }

 private:
  Variable skip(const Variable& x, const Tensor& filters, const Tensor& offsets, Conv2dShape shape);
  Variable take_decision(const Variable& y);

  Options options_;
  Tensor kept_;        // k, int64
  Variable saliency_;  // of the newest forward pass
  Variable pi_;        // between convolution and batch norm
  bool skipped_ = false;
};

/// The k largest of each row of g (N,K) as ones, zeros elsewhere, in g's layout; of equal ones the
/// first.
Tensor largest_in_rows(const Tensor& g, int64_t k);

}  // namespace espalier::nn
