// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/layers/layer_norm.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

LayerNorm::LayerNorm(const Options& options) : options_(options) {
  ESPALIER_CHECK(!options.shape.empty(), ValueError, "LayerNorm: expects a shape, got none");
  LayerNorm::set_sizes({});
  LayerNorm::reset_parameters(default_init_rng);
}

Variable LayerNorm::forward(const Variable& x) {
  const auto constant = [&](double value) {
    return Variable(Tensor::full(options_.shape, value, x.dtype()));
  };
  const Variable scale = options_.affine ? weight.value : constant(1.0);
  const Variable shift = options_.affine ? bias.value : constant(0.0);
  return layer_norm(x, scale, shift, options_.eps);
}

void LayerNorm::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
}

std::string LayerNorm::describe() const {
  return cat("LayerNorm", options_.shape, options_.affine ? "" : " not affine");
}

ChannelCoupling LayerNorm::channel_coupling() const {
  const int last = options_.shape.rank() - 1;
  std::vector<ChannelSlice> all;
  if (options_.affine) all = {{"weight", last}, {"bias", last}};
  return {.in = all,
          .out = all,
          .passes_through = true,
          .frozen_because = "layer norm takes its mean over the channels"};
}

LayerSizes LayerNorm::sizes() const {
  return {{"channels", options_.shape.size(-1)}};
}

LayerSizes LayerNorm::sizes_keeping(const KeptChannels& kept) const {
  return {{"channels", detail::kept_both(kept, "LayerNorm")}};
}

void LayerNorm::set_sizes(const LayerSizes& sizes) {
  detail::check_size_names(sizes, this->sizes(), "LayerNorm");
  Shape shape = options_.shape;
  detail::take_size(sizes, "channels", shape[shape.rank() - 1]);
  for (const int64_t size : shape) detail::check_positive(size, "LayerNorm", "sizes");
  options_.shape = shape;
  weight = options_.affine ? detail::new_parameter(shape) : Parameter();
  bias = options_.affine ? detail::new_parameter(shape) : Parameter();
}

void LayerNorm::reset_parameters(const InitRng&) {
  if (!options_.affine) return;
  init::ones(weight);
  init::zeros(bias);
}

}  // namespace espalier::nn
