// SPDX-License-Identifier: Apache-2.0
/// Saliency: feature boosting and suppression. From the means of a convolution's input channels it
/// foretells how much each output channel will matter for this sample; the k most salient are open,
/// and each is boosted by its saliency, which takes the place of batch norm's scale.
///
///   s_c = mean over space of |x_c|,  g = max(s phi^T + rho, 0)            saliencies, the price
///   pi = g where g is among the k largest of the sample (ties: the first), else 0
///
/// Source: Gao, Zhao, Dudziak, Mullins, Xu, arXiv:1810.05331, equations 4 to 8.
#pragma once

#include <espalier/nn/gates/decision.h>

namespace espalier::nn {

/// A decision on channels.
class Saliency : public Decision {
 public:
  /// Sizes of the convolution.
  struct Options {
    int64_t in_channels = 0;   ///< C
    int64_t out_channels = 0;  ///< K
  };
  /// All channels open, phi = 0, rho = 1. Throws ValueError for sizes that are not positive.
  explicit Saliency(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  std::string kind() const override { return "saliency"; }
  /// The gradient passes to the chosen saliencies only.
  Decided decide(const Variable& x) override;
  bool is_scale() const override { return true; }
  std::optional<detail::ChannelGateParameters> channel_rule() const override;

  /// k, at least 1. Throws ValueError when out of range.
  void keep(int64_t channels);
  /// k, at first all channels.
  int64_t kept() const;

  Parameter weight;  ///< phi, (out_channels, in_channels)
  Parameter bias;    ///< rho, (out_channels)

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Saliency>(*this);
  }

 private:
  Options options_;
  Tensor kept_;  // k, int64
};

/// The k largest of each row of g (N,K) as ones, zeros elsewhere, in g's layout; of equal ones the
/// first.
Tensor largest_in_rows(const Tensor& g, int64_t k);

}  // namespace espalier::nn
