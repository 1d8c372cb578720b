// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/conv1d.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

Conv1d::Conv1d(const Options& options) : options_(options) {
  Conv1d::set_sizes({});
  Conv1d::reset_parameters(default_init_rng);
}

// Made again when the mask has changed.
const std::shared_ptr<const sparse::Support>& Conv1d::RowSupport::operator()(
    const std::shared_ptr<const sparse::Support>& support) {
  if (of != support) {
    of = support;
    rows = nullptr;
    if (of) {
      const Shape& s = of->shape();
      rows = std::make_shared<const sparse::Support>(of->mask().reshape({s[0], s[1], 1, s[2]}));
    }
  }
  return rows;
}

Variable Conv1d::forward(const Variable& x) {
  ESPALIER_CHECK(x.rank() == 3 && x.size(1) == options_.in_channels,
                 ShapeError,
                 "Conv1d: expects x (N,",
                 options_.in_channels,
                 ",L), got ",
                 x.shape());
  const Shape& s = weight.shape();
  const Effective w = effective_weight(form, weight);
  const Variable rows = reshape(x, {x.size(0), x.size(1), 1, x.size(2)});
  const Variable y =
      conv2d(rows,
             reshape(w.value, {s[0], s[1], 1, s[2]}),
             bias.value,
             {.stride = {1, options_.stride},
              .padding = {0, options_.padding},
              .dilation = {1, options_.dilation},
              .groups = options_.groups},
             {kept_(w.sparsity.support), w.sparsity.request, gradient_(w.sparsity.gradient)});
  return reshape(y, {y.size(0), y.size(1), y.size(3)});
}

void Conv1d::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  if (form) visitor.part(form->member(), form);
}

std::vector<FormSlot> Conv1d::form_slots() {
  return {{.weight = "weight", .parameter = &weight, .form = &form, .groups = options_.groups}};
}

std::string Conv1d::describe() const {
  std::string out = cat(
      "Conv1d(", options_.in_channels, ", ", options_.out_channels, ", kernel ", options_.kernel);
  if (options_.stride != 1) out += cat(", stride ", options_.stride);
  if (options_.padding != 0) out += cat(", padding ", options_.padding);
  if (options_.dilation != 1) out += cat(", dilation ", options_.dilation);
  if (options_.groups != 1) out += cat(", groups ", options_.groups);
  if (!options_.bias) out += ", no bias";
  return out + ")";
}

ChannelCoupling Conv1d::channel_coupling() const {
  const bool depthwise = channels().depthwise();
  ChannelCoupling coupling{.out = {{"weight", 0}},
                           .passes_through = depthwise,
                           .groups = depthwise ? 1 : options_.groups,
                           .channels_first = true};
  if (options_.bias) coupling.out.push_back({"bias", 0});
  coupling.in = depthwise ? coupling.out : std::vector<ChannelSlice>{{"weight", 1}};
  return coupling;
}

detail::GroupedChannels Conv1d::channels() const {
  return {options_.in_channels, options_.out_channels, options_.groups};
}

LayerSizes Conv1d::sizes() const {
  return channels().sizes();
}

LayerSizes Conv1d::sizes_keeping(const KeptChannels& kept) const {
  return channels().sizes_keeping(kept, describe());
}

void Conv1d::set_sizes(const LayerSizes& sizes) {
  const detail::GroupedChannels c = channels().with(sizes, "Conv1d");
  Options o = options_;
  o.in_channels = c.in;
  o.out_channels = c.out;
  o.groups = c.groups;
  detail::check_positive(o.kernel, "Conv1d", "kernel");
  detail::check_positive(o.stride, "Conv1d", "stride");
  detail::check_positive(o.dilation, "Conv1d", "dilation");
  ESPALIER_CHECK(o.padding >= 0, ValueError, "Conv1d: expects padding >= 0, got ", o.padding);
  check_resizable(form, "Conv1d");
  options_ = o;
  weight = detail::new_parameter({o.out_channels, o.in_channels / o.groups, o.kernel});
  bias = o.bias ? detail::new_parameter({o.out_channels}) : Parameter();
}

void Conv1d::reset_parameters(const InitRng& rng) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(init::fans(weight.shape()).in));
  init::uniform(weight, rng("weight"), -bound, bound);
  if (bias.defined()) init::uniform(bias, rng("bias"), -bound, bound);
}

}  // namespace espalier::nn
