// SPDX-License-Identifier: Apache-2.0
/// LayerNorm: each sample normalized over its last dimensions.
#pragma once

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Normalizes over the last dimensions, whose sizes are `shape`. Plain result.
/// Parameters: `weight` (1) and `bias` (0), of `shape`. Source: arXiv:1607.06450.
class LayerNorm : public Module {
 public:
  /// Settings of the layer.
  struct Options {
    Shape shape = {};    ///< sizes of the last dimensions
    double eps = 1e-5;   ///< added to the variance
    bool affine = true;  ///< learn a scale and a shift; else they are 1 and 0
  };

  /// Throws ValueError for an empty shape or a size that is not positive.
  explicit LayerNorm(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override;
  LayerSizes sizes() const override;
  LayerSizes sizes_keeping(const KeptChannels& kept) const override;
  void set_sizes(const LayerSizes& sizes) override;
  void reset_parameters(const InitRng& rng) override;

  /// The sizes and choices that it was built with.
  const Options& options() const { return options_; }

  Parameter weight;  ///< scale, of `shape`; undefined without `affine`
  Parameter bias;    ///< shift, of `shape`; undefined without `affine`

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<LayerNorm>(*this);
  }

 private:
  Options options_;
};

}  // namespace espalier::nn
