// SPDX-License-Identifier: Apache-2.0
/// Conv2d: a convolution layer. The kernel is chosen by the op (autograd/ops/convolution.h).
#pragma once

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/layers/detail/grouped_channels.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Cross-correlation of x (N, in_channels, H, W) in any layout to (N, out_channels, H', W').
///
/// Parameters: `weight` (out_channels, in_channels/groups, kernel.h, kernel.w), `bias`
/// (out_channels). Initial values: both uniform in +-1/sqrt(fan_in), fan_in = in_channels/groups *
/// kernel.h * kernel.w.
class Conv2d : public Module, public Formed {
 public:
  /// Sizes of the layer. `kernel`, `stride`, `padding`, `dilation` take one number or `{height,
  /// width}`.
  struct Options {
    int64_t in_channels = 0;   ///< of the input
    int64_t out_channels = 0;  ///< of the output
    Pair kernel = 3;           ///< size of the window
    Pair stride = 1;           ///< steps between windows
    Pair padding = 0;          ///< zeros around the input
    Pair dilation = 1;         ///< distance of a window's taps
    int64_t groups = 1;        ///< in- and out-channels are cut into so many independent parts
    bool bias = true;          ///< add a number per output channel
  };

  /// Throws ValueError when a size is not positive or groups don't divide the channels.
  explicit Conv2d(const Options& options);

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
  /// The options of the op.
  espalier::Conv2dOptions conv_options() const;

  Parameter weight;            ///< (out_channels, in_channels/groups, kernel.h, kernel.w)
  Parameter bias;              ///< undefined without bias
  std::shared_ptr<Form> form;  ///< what it multiplies with; null: the weight

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Conv2d>(*this); }

 private:
  detail::GroupedChannels channels() const;

  Options options_;
};

}  // namespace espalier::nn
