// SPDX-License-Identifier: Apache-2.0
/// GroupNorm: each sample normalized over groups of channels.
#pragma once

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Normalizes each sample of x (N,C,..) over the channels of a group and all positions.
/// Parameters: `weight` (1) and `bias` (0), (channels). Source: arXiv:1803.08494.
class GroupNorm : public Module {
 public:
  /// Settings of the layer.
  struct Options {
    int64_t groups = 1;    ///< must divide the channels
    int64_t channels = 0;  ///< of input and output
    double eps = 1e-5;     ///< added to the variance
    bool affine = true;    ///< learn a scale and a shift; else they are 1 and 0
  };

  /// Throws ValueError when groups don't divide the channels.
  explicit GroupNorm(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override;
  LayerSizes sizes() const override;
  LayerSizes sizes_keeping(const KeptChannels& kept) const override;
  void set_sizes(const LayerSizes& sizes) override;
  void reset_parameters(const InitRng& rng) override;

  /// The sizes and choices that it was built with.
  const Options& options() const { return options_; }

  Parameter weight;  ///< scale, (channels); undefined without `affine`
  Parameter bias;    ///< shift, (channels); undefined without `affine`

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<GroupNorm>(*this);
  }

 private:
  Options options_;
};

}  // namespace espalier::nn
