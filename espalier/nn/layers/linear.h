// SPDX-License-Identifier: Apache-2.0
/// Linear: a fully connected layer. The kernel is chosen by the op (autograd/ops/matmul.h).
#pragma once

#include <espalier/nn/forms/slots.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// y = x * weight^T + bias, x (N, in) in any layout, or (.., in) plain; y (.., out).
///
/// Parameters: `weight` (out, in), `bias` (out). Initial values: both uniform in +-1/sqrt(in).
class Linear : public Module, public Formed {
 public:
  /// Sizes of the layer.
  struct Options {
    int64_t in = 0;    ///< features of a sample
    int64_t out = 0;   ///< features of the result
    bool bias = true;  ///< add a number per output
  };

  /// Throws ValueError when a size is not positive.
  explicit Linear(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override;
  std::optional<WeightProduct> weight_product(const Shape& input, Layout layout) const override;
  LayerSizes sizes() const override;
  LayerSizes sizes_keeping(const KeptChannels& kept) const override;
  void set_sizes(const LayerSizes& sizes) override;
  void reset_parameters(const InitRng& rng) override;
  std::vector<FormSlot> form_slots() override;

  /// The sizes and choices that it was built with.
  const Options& options() const { return options_; }

  Parameter weight;            ///< (out, in)
  Parameter bias;              ///< undefined without bias
  std::shared_ptr<Form> form;  ///< what it multiplies with; null: the weight

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Linear>(*this); }

 private:
  Options options_;
};

}  // namespace espalier::nn
