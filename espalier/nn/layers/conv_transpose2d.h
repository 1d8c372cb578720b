// SPDX-License-Identifier: Apache-2.0
/// ConvTranspose2d: a convolution layer that makes planes larger.
#pragma once

#include <espalier/autograd/ops/convolution.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/layers/detail/grouped_channels.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Transposed convolution of x (N, in_channels, H, W) in any layout to (N, out_channels, H', W'),
/// H' = (H-1) * stride - 2 * padding + dilation * (kernel-1) + output_padding + 1; see
/// autograd/ops/convolution.h. Masked weights run in the sparse kernels of a convolution's
/// gradient.
///
/// Parameters: `weight` (in_channels, out_channels/groups, kernel.h, kernel.w), as PyTorch has it,
/// `bias` (out_channels). Initial values: both uniform in +-1/sqrt(out_channels/groups * kernel.h *
/// kernel.w). Patterns that cut weights by rows ("filter", blocks, N:M) see the weight as it lies
/// here: its rows are input channels. Channels are removed by their group (nn/module/coupling.h).
class ConvTranspose2d : public Module, public Formed {
 public:
  /// Sizes of the layer. Pairs take one number or `{height, width}`.
  struct Options {
    int64_t in_channels = 0;   ///< of the input
    int64_t out_channels = 0;  ///< of the output
    Pair kernel = 3;           ///< size of the window
    Pair stride = 1;           ///< steps between the places to which inputs are spread
    Pair padding = 0;          ///< rows and columns cut off at each end of the output
    Pair output_padding = 0;   ///< more of them at its lower and right end
    Pair dilation = 1;         ///< distance of a window's taps
    int64_t groups = 1;        ///< in- and out-channels are cut into so many independent parts
    bool bias = true;          ///< add a number per output channel
  };

  /// Throws ValueError when a size is not positive, groups don't divide the channels, or the output
  /// padding is not below the larger of stride and dilation.
  explicit ConvTranspose2d(const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override;
  LayerSizes sizes() const override;
  LayerSizes sizes_keeping(const KeptChannels& kept) const override;
  void set_sizes(const LayerSizes& sizes) override;
  void reset_parameters(const InitRng& rng) override;
  std::vector<FormSlot> form_slots() override;

  /// The sizes and choices that it was built with.
  const Options& options() const { return options_; }

  Parameter weight;            ///< (in_channels, out_channels/groups, kernel.h, kernel.w)
  Parameter bias;              ///< undefined without bias
  std::shared_ptr<Form> form;  ///< what it multiplies with; null: the weight

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<ConvTranspose2d>(*this);
  }

 private:
  detail::GroupedChannels channels() const;
  ConvTranspose2dOptions conv_options() const;

  Options options_;
};

}  // namespace espalier::nn
