// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <set>

#include <espalier/autograd/ops.h>
#include <espalier/nn/conv2d.h>
#include <espalier/nn/detail/layer.h>
#include <espalier/nn/gates/gate.h>
#include <espalier/nn/init.h>
#include <espalier/nn/quantize/layer_quantizer.h>

namespace espalier::nn {

namespace {

// How many of `channels` lie in each of `groups` equal ranges of 0..total-1; groups without any
// drop out.
std::vector<int64_t> kept_per_group(const std::vector<int64_t>& channels,
                                    int64_t total,
                                    int64_t groups) {
  std::vector<int64_t> counts(static_cast<size_t>(groups), 0);
  for (const int64_t c : channels) {
    ESPALIER_CHECK(c >= 0 && c < total,
                   ValueError,
                   "sizes_keeping: Conv2d has ",
                   total,
                   " channels, got channel ",
                   c);
    ++counts[static_cast<size_t>(c / (total / groups))];
  }
  return counts;
}

}  // namespace

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
  if (gate) return gate->conv2d(x, weight, bias, conv_options());
  if (quantizer) return quantizer->conv2d(x, weight, bias, conv_options());
  return conv2d(x, weight.value, bias.value, conv_options(), weight.sparsity());
}

void Conv2d::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  visitor.part("quantizer", quantizer);
  visitor.part("gate", gate);
}

bool Conv2d::compute_in_int8() {
  if (gate) return false;
  if (!quantizer) quantizer = std::make_shared<LayerQuantizer>();
  return true;
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
  const bool depthwise = options_.groups > 1 && options_.groups == options_.in_channels &&
                         options_.groups == options_.out_channels;
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

LayerSizes Conv2d::sizes() const {
  return {{"in_channels", options_.in_channels},
          {"out_channels", options_.out_channels},
          {"groups", options_.groups}};
}

LayerSizes Conv2d::sizes_keeping(const KeptChannels& kept) const {
  const std::vector<int64_t> in = kept_per_group(kept.in, options_.in_channels, options_.groups);
  const std::vector<int64_t> out = kept_per_group(kept.out, options_.out_channels, options_.groups);
  int64_t groups = 0;
  std::set<std::pair<int64_t, int64_t>> sizes_of_groups;
  for (size_t g = 0; g < in.size(); ++g) {
    if (in[g] == 0 && out[g] == 0) continue;
    ++groups;
    sizes_of_groups.emplace(in[g], out[g]);
  }
  ESPALIER_CHECK(groups == 0 || sizes_of_groups.size() == 1,
                 ValueError,
                 "sizes_keeping: ",
                 describe(),
                 " must keep equally many channels in each group that stays");
  return {{"in_channels", static_cast<int64_t>(kept.in.size())},
          {"out_channels", static_cast<int64_t>(kept.out.size())},
          {"groups", groups}};
}

void Conv2d::set_sizes(const LayerSizes& sizes) {
  detail::check_size_names(sizes, this->sizes(), "Conv2d");
  Options o = options_;
  detail::take_size(sizes, "in_channels", o.in_channels);
  detail::take_size(sizes, "out_channels", o.out_channels);
  detail::take_size(sizes, "groups", o.groups);
  detail::check_positive(o.in_channels, "Conv2d", "in_channels");
  detail::check_positive(o.out_channels, "Conv2d", "out_channels");
  detail::check_positive(std::min(o.kernel.h, o.kernel.w), "Conv2d", "kernel");
  detail::check_positive(std::min(o.stride.h, o.stride.w), "Conv2d", "stride");
  detail::check_positive(std::min(o.dilation.h, o.dilation.w), "Conv2d", "dilation");
  detail::check_positive(o.groups, "Conv2d", "groups");
  ESPALIER_CHECK(std::min(o.padding.h, o.padding.w) >= 0,
                 ValueError,
                 "Conv2d: expects padding >= 0, got ",
                 detail::text(o.padding));
  ESPALIER_CHECK(o.in_channels % o.groups == 0 && o.out_channels % o.groups == 0,
                 ValueError,
                 "Conv2d: expects groups that divide the channels, got ",
                 o.groups,
                 " groups for ",
                 o.in_channels,
                 " in-channels and ",
                 o.out_channels,
                 " out-channels");
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
