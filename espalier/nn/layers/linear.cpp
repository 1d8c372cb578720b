// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

Linear::Linear(const Options& options) : options_(options) {
  Linear::set_sizes({});
  Linear::reset_parameters(default_init_rng);
}

Variable Linear::forward(const Variable& x) {
  if (form) return form->product(x, {.weight = weight, .bias = bias});
  return linear(x, weight.value, bias.value, weight.sparsity());
}

void Linear::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  if (form) visitor.part(form->member(), form);
}

std::vector<FormSlot> Linear::form_slots() {
  return {{.weight = "weight", .parameter = &weight, .form = &form, .whole = true}};
}

std::string Linear::describe() const {
  return cat("Linear(", options_.in, ", ", options_.out, options_.bias ? "" : ", no bias", ")");
}

ChannelCoupling Linear::channel_coupling() const {
  ChannelCoupling coupling{.in = {{"weight", 1}}, .out = {{"weight", 0}}};
  if (options_.bias) coupling.out.push_back({"bias", 0});
  return coupling;
}

std::optional<WeightProduct> Linear::weight_product(const Shape& input, Layout) const {
  // Plain activations are converted where a sparse kernel pays.
  return WeightProduct{conv2d_shape({input.numel() / options_.in, options_.in, 1, 1},
                                    {options_.out, options_.in, 1, 1},
                                    {},
                                    "Linear"),
                       Layout::Nchw16n,
                       &weight};
}

LayerSizes Linear::sizes() const {
  return {{"in", options_.in}, {"out", options_.out}};
}

LayerSizes Linear::sizes_keeping(const KeptChannels& kept) const {
  return {{"in", static_cast<int64_t>(kept.in.size())},
          {"out", static_cast<int64_t>(kept.out.size())}};
}

void Linear::set_sizes(const LayerSizes& sizes) {
  detail::check_size_names(sizes, this->sizes(), "Linear");
  Options o = options_;
  detail::take_size(sizes, "in", o.in);
  detail::take_size(sizes, "out", o.out);
  detail::check_positive(o.in, "Linear", "in");
  detail::check_positive(o.out, "Linear", "out");
  check_resizable(form, "Linear");
  options_ = o;
  weight = detail::new_parameter({o.out, o.in});
  bias = o.bias ? detail::new_parameter({o.out}) : Parameter();
}

void Linear::reset_parameters(const InitRng& rng) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(options_.in));
  init::uniform(weight, rng("weight"), -bound, bound);
  if (bias.defined()) init::uniform(bias, rng("bias"), -bound, bound);
}

}  // namespace espalier::nn
