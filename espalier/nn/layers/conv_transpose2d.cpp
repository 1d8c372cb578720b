// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/conv_transpose2d.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

ConvTranspose2d::ConvTranspose2d(const Options& options) : options_(options) {
  ConvTranspose2d::set_sizes({});
  ConvTranspose2d::reset_parameters(default_init_rng);
}

ConvTranspose2dOptions ConvTranspose2d::conv_options() const {
  return {.stride = options_.stride,
          .padding = options_.padding,
          .output_padding = options_.output_padding,
          .dilation = options_.dilation,
          .groups = options_.groups};
}

Variable ConvTranspose2d::forward(const Variable& x) {
  const Effective w = effective_weight(form, weight);
  return conv_transpose2d(x, w.value, bias.value, conv_options(), w.sparsity);
}

void ConvTranspose2d::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  if (form) visitor.part(form->member(), form);
}

std::vector<FormSlot> ConvTranspose2d::form_slots() {
  return {{.weight = "weight", .parameter = &weight, .form = &form, .groups = options_.groups}};
}

std::string ConvTranspose2d::describe() const {
  std::string out = cat("ConvTranspose2d(",
                        options_.in_channels,
                        ", ",
                        options_.out_channels,
                        ", kernel ",
                        detail::text(options_.kernel));
  const auto add = [&](std::string_view name, const Pair& value, int64_t usual) {
    if (value != Pair(usual)) out += cat(", ", name, " ", detail::text(value));
  };
  add("stride", options_.stride, 1);
  add("padding", options_.padding, 0);
  add("output padding", options_.output_padding, 0);
  add("dilation", options_.dilation, 1);
  if (options_.groups != 1) out += cat(", groups ", options_.groups);
  if (!options_.bias) out += ", no bias";
  return out + ")";
}

ChannelCoupling ConvTranspose2d::channel_coupling() const {
  const bool depthwise = channels().depthwise();
  ChannelCoupling coupling{.in = {{"weight", 0}},
                           .out = {{"weight", depthwise ? 0 : 1}},
                           .passes_through = depthwise,
                           .groups = depthwise ? 1 : options_.groups,
                           .transposed = true};
  if (options_.bias) coupling.out.push_back({"bias", 0});
  if (depthwise) coupling.in = coupling.out;
  return coupling;
}

detail::GroupedChannels ConvTranspose2d::channels() const {
  return {options_.in_channels, options_.out_channels, options_.groups};
}

LayerSizes ConvTranspose2d::sizes() const {
  return channels().sizes();
}

LayerSizes ConvTranspose2d::sizes_keeping(const KeptChannels& kept) const {
  return channels().sizes_keeping(kept, describe());
}

void ConvTranspose2d::set_sizes(const LayerSizes& sizes) {
  const detail::GroupedChannels c = channels().with(sizes, "ConvTranspose2d");
  Options o = options_;
  o.in_channels = c.in;
  o.out_channels = c.out;
  o.groups = c.groups;
  const auto check =
      [](int64_t kernel, int64_t stride, int64_t padding, int64_t more, int64_t dil) {
        detail::check_positive(kernel, "ConvTranspose2d", "kernel");
        detail::check_positive(stride, "ConvTranspose2d", "stride");
        detail::check_positive(dil, "ConvTranspose2d", "dilation");
        ESPALIER_CHECK(
            padding >= 0 && more >= 0 && more < std::max(stride, dil),
            ValueError,
            "ConvTranspose2d: expects padding >= 0 and 0 <= output_padding < max(stride, "
            "dilation) = ",
            std::max(stride, dil),
            ", got padding ",
            padding,
            " and output_padding ",
            more);
      };
  check(o.kernel.h, o.stride.h, o.padding.h, o.output_padding.h, o.dilation.h);
  check(o.kernel.w, o.stride.w, o.padding.w, o.output_padding.w, o.dilation.w);
  check_resizable(form, "ConvTranspose2d");
  options_ = o;
  weight =
      detail::new_parameter({o.in_channels, o.out_channels / o.groups, o.kernel.h, o.kernel.w});
  bias = o.bias ? detail::new_parameter({o.out_channels}) : Parameter();
}

void ConvTranspose2d::reset_parameters(const InitRng& rng) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(init::fans(weight.shape()).in));
  init::uniform(weight, rng("weight"), -bound, bound);
  if (bias.defined()) init::uniform(bias, rng("bias"), -bound, bound);
}

}  // namespace espalier::nn
