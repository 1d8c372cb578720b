// SPDX-License-Identifier: Apache-2.0
/// Conv1d: a convolution layer over sequences.
#pragma once

#include <espalier/nn/forms/slots.h>
#include <espalier/nn/layers/detail/grouped_channels.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Cross-correlation of x (N, in_channels, L) in any layout to (N, out_channels, L'), computed as
/// conv2d of planes of one row.
///
/// Parameters: `weight` (out_channels, in_channels/groups, kernel), `bias` (out_channels). Initial
/// values: both uniform in +-1/sqrt(fan_in), fan_in = in_channels/groups * kernel.
class Conv1d : public Module, public Formed {
 public:
  /// Sizes of the layer.
  struct Options {
    int64_t in_channels = 0;   ///< of the input
    int64_t out_channels = 0;  ///< of the output
    int64_t kernel = 3;        ///< size of the window
    int64_t stride = 1;        ///< steps between windows
    int64_t padding = 0;       ///< zeros at both ends of the input
    int64_t dilation = 1;      ///< distance of a window's taps
    int64_t groups = 1;        ///< in- and out-channels are cut into so many independent parts
    bool bias = true;          ///< add a number per output channel
  };

  /// Throws ValueError when a size is not positive or groups don't divide the channels.
  explicit Conv1d(const Options& options);

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

  Parameter weight;            ///< (out_channels, in_channels/groups, kernel)
  Parameter bias;              ///< undefined without bias
  std::shared_ptr<Form> form;  ///< what it multiplies with; null: the weight

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Conv1d>(*this); }

 private:
  detail::GroupedChannels channels() const;
  /// A support of the weight, and the same of filters of one row.
  struct RowSupport {
    std::shared_ptr<const sparse::Support> of, rows;
    const std::shared_ptr<const sparse::Support>& operator()(
        const std::shared_ptr<const sparse::Support>& support);
  };

  Options options_;
  RowSupport kept_, gradient_;
};

}  // namespace espalier::nn
