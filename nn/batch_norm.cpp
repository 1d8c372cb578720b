// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/batch_norm.h>

#include <cmath>

#include <espalier/autograd/observer.h>
#include <espalier/nn/detail/layer.h>
#include <espalier/nn/gates/channel_gate.h>
#include <espalier/nn/init.h>

namespace espalier::nn {
namespace {

/// What the layer does in evaluation.
ChannelGate::Affine affine_of(const BatchNorm& norm) {
  ChannelGate::Affine out;
  for (int64_t c = 0; c < norm.options().channels; ++c) {
    const double scale = norm.weight.value.value().at({c}) /
                         std::sqrt(norm.running_var.at({c}) + norm.options().eps);
    const double shift = norm.bias.value.value().at({c}) - norm.running_mean.at({c}) * scale;
    out.scale.push_back(static_cast<float>(scale));
    out.shift.push_back(static_cast<float>(shift));
  }
  return out;
}

}  // namespace

BatchNorm::BatchNorm(const Options& options) : options_(options) {
  BatchNorm::set_sizes({});
  BatchNorm::reset_parameters(default_init_rng);
}

void BatchNorm::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  visitor.buffer("running_mean", running_mean);
  visitor.buffer("running_var", running_var);
  visitor.part("gate", gate);
}

ChannelCoupling BatchNorm::channel_coupling() const {
  const std::vector<ChannelSlice> all = {
      {"weight", 0}, {"bias", 0}, {"running_mean", 0}, {"running_var", 0}};
  return {.in = all, .out = all, .passes_through = true};
}

LayerSizes BatchNorm::sizes() const {
  return {{"channels", options_.channels}};
}

LayerSizes BatchNorm::sizes_keeping(const KeptChannels& kept) const {
  return {{"channels", detail::kept_both(kept, "BatchNorm")}};
}

void BatchNorm::set_sizes(const LayerSizes& sizes) {
  detail::check_size_names(sizes, this->sizes(), "BatchNorm");
  int64_t channels = options_.channels;
  detail::take_size(sizes, "channels", channels);
  detail::check_positive(channels, "BatchNorm", "channels");
  options_.channels = channels;
  weight = detail::new_parameter({channels});
  bias = detail::new_parameter({channels});
  running_mean = Tensor::zeros({channels});
  running_var = Tensor::ones({channels});
}

void BatchNorm::reset_parameters(const InitRng&) {
  init::ones(weight);
  init::zeros(bias);
  running_mean.fill_(0.0);
  running_var.fill_(1.0);
}

Variable BatchNorm::add_relu(const Variable& x, const Variable& residual) {
  ESPALIER_CHECK(!options_.relu, ValueError, "BatchNorm::add_relu: the layer has a ReLU already");
  if (is_observed()) return relu((*this)(x) + residual);
  return normalize(x, residual, true);
}

Variable BatchNorm::normalize(const Variable& x, const Variable& residual, bool relu) {
  RunningStats running{running_mean, running_var};
  const BatchNormOptions options{
      .training = training(), .momentum = options_.momentum, .eps = options_.eps, .relu = relu};
  if (!gate) return batch_norm(x, weight.value, bias.value, &running, options, residual);
  if (gate->skipped()) return gate->finish(x, affine_of(*this), residual, relu);
  if (!residual.defined()) {  // saliencies are not negative: they pass through the ReLU
    return gate->boost(batch_norm(x, weight.value.detach(), bias.value, &running, options));
  }
  BatchNormOptions linear = options;
  linear.relu = false;
  const Variable boosted =
      gate->boost(batch_norm(x, weight.value.detach(), bias.value, &running, linear));
  return relu ? espalier::relu(boosted + residual) : boosted + residual;
}

std::string BatchNorm::describe_as(std::string_view kind) const {
  return cat(kind, "(", options_.channels, options_.relu ? ", relu" : "", ")");
}

Variable BatchNorm2d::forward(const Variable& x) {
  ESPALIER_CHECK(x.rank() == 4,
                 ShapeError,
                 "BatchNorm2d: expects x (N,C,H,W), got ",
                 x.shape(),
                 "; for (N,C) use BatchNorm1d");
  return normalize(x);
}

std::string BatchNorm2d::describe() const {
  return describe_as("BatchNorm2d");
}

Variable BatchNorm1d::forward(const Variable& x) {
  ESPALIER_CHECK(x.rank() == 2,
                 ShapeError,
                 "BatchNorm1d: expects x (N,C), got ",
                 x.shape(),
                 "; for (N,C,H,W) use BatchNorm2d");
  return normalize(x);
}

std::string BatchNorm1d::describe() const {
  return describe_as("BatchNorm1d");
}

}  // namespace espalier::nn
