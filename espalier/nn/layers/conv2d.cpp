// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

Conv2d::Conv2d(const Options& options) : options_(options) {
  Conv2d::set_sizes({});
  Conv2d::reset_parameters(default_init_rng);
}

espalier::Conv2dOptions Conv2d::conv_options() const {
  return {.stride = options_.stride,
          .padding = options_.padding,
          .dilation = options_.dilation,
          .groups = options_.groups};
}

Variable Conv2d::forward(const Variable& x) {
  const espalier::Conv2dOptions conv = conv_options();
  if (form) return form->product(x, {.weight = weight, .bias = bias, .conv = &conv});
  return conv2d(x, weight.value, bias.value, conv, weight.sparsity());
}

void Conv2d::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  if (form) visitor.part(form->member(), form);
}

std::vector<FormSlot> Conv2d::form_slots() {
  return {{.weight = "weight",
           .parameter = &weight,
           .form = &form,
           .whole = true,
           .groups = options_.groups}};
}

std::string Conv2d::describe() const {
  std::string out = cat("Conv2d(",
                        options_.in_channels,
                        ", ",
                        options_.out_channels,
                        ", kernel ",
                        detail::text(options_.kernel));
  if (options_.stride != Pair(1)) out += ", stride " + detail::text(options_.stride);
  if (options_.padding != Pair(0)) out += ", padding " + detail::text(options_.padding);
  if (options_.dilation != Pair(1)) out += ", dilation " + detail::text(options_.dilation);
  if (options_.groups != 1) out += cat(", groups ", options_.groups);
  if (!options_.bias) out += ", no bias";
  return out + ")";
}

ChannelCoupling Conv2d::channel_coupling() const {
  const bool depthwise = channels().depthwise();
  ChannelCoupling coupling{.out = {{"weight", 0}}, .groups = depthwise ? 1 : options_.groups};
  if (options_.bias) coupling.out.push_back({"bias", 0});
  if (depthwise) {
    coupling.passes_through = true;
    coupling.in = coupling.out;
  } else {
    coupling.in = {{"weight", 1}};
  }
  return coupling;
}

std::optional<WeightProduct> Conv2d::weight_product(const Shape& input, Layout layout) const {
  return WeightProduct{
      conv2d_shape(input, weight.shape(), conv_options(), "Conv2d"), layout, &weight};
}

detail::GroupedChannels Conv2d::channels() const {
  return {options_.in_channels, options_.out_channels, options_.groups};
}

LayerSizes Conv2d::sizes() const {
  return channels().sizes();
}

LayerSizes Conv2d::sizes_keeping(const KeptChannels& kept) const {
  return channels().sizes_keeping(kept, describe());
}

void Conv2d::set_sizes(const LayerSizes& sizes) {
  const detail::GroupedChannels c = channels().with(sizes, "Conv2d");
  Options o = options_;
  o.in_channels = c.in;
  o.out_channels = c.out;
  o.groups = c.groups;
  detail::check_positive(std::min(o.kernel.h, o.kernel.w), "Conv2d", "kernel");
  detail::check_positive(std::min(o.stride.h, o.stride.w), "Conv2d", "stride");
  detail::check_positive(std::min(o.dilation.h, o.dilation.w), "Conv2d", "dilation");
  ESPALIER_CHECK(std::min(o.padding.h, o.padding.w) >= 0,
                 ValueError,
                 "Conv2d: expects padding >= 0, got ",
                 detail::text(o.padding));
  check_resizable(form, "Conv2d");
  options_ = o;
  weight =
      detail::new_parameter({o.out_channels, o.in_channels / o.groups, o.kernel.h, o.kernel.w});
  bias = o.bias ? detail::new_parameter({o.out_channels}) : Parameter();
}

void Conv2d::reset_parameters(const InitRng& rng) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(init::fans(weight.shape()).in));
  init::uniform(weight, rng("weight"), -bound, bound);
  if (bias.defined()) init::uniform(bias, rng("bias"), -bound, bound);
}

}  // namespace espalier::nn
