// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/layers/batch_norm.h>

#include <cmath>

#include <espalier/autograd/observer.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {
namespace {

/// What the layer does in evaluation.
ChannelAffine affine_of(const BatchNorm& norm) {
  ChannelAffine out;
  const std::vector<double> scales = norm.scales(), shifts = norm.shifts();
  for (int64_t c = 0; c < norm.options().channels; ++c) {
    const auto at = static_cast<size_t>(c);
    const double scale = scales[at] / std::sqrt(norm.running_var.at({c}) + norm.options().eps);
    const double shift = shifts[at] - norm.running_mean.at({c}) * scale;
    out.scale.push_back(static_cast<float>(scale));
    out.shift.push_back(static_cast<float>(shift));
  }
  return out;
}

}  // namespace

std::vector<double> BatchNorm::scales() const {
  if (!options_.affine) return std::vector<double>(static_cast<size_t>(options_.channels), 1.0);
  return weight.value.value().to_vector<double>();
}

std::vector<double> BatchNorm::shifts() const {
  if (!options_.affine) return std::vector<double>(static_cast<size_t>(options_.channels), 0.0);
  return bias.value.value().to_vector<double>();
}

BatchNorm::BatchNorm(const Options& options) : options_(options) {
  BatchNorm::set_sizes({});
  BatchNorm::reset_parameters(default_init_rng);
}

void BatchNorm::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  visitor.buffer("running_mean", running_mean);
  visitor.buffer("running_var", running_var);
  if (scaling_) visitor.part(scaling_->member(), scaling_);
}

ChannelCoupling BatchNorm::channel_coupling() const {
  std::vector<ChannelSlice> all = {{"running_mean", 0}, {"running_var", 0}};
  if (options_.affine) all.insert(all.begin(), {{"weight", 0}, {"bias", 0}});
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
  weight = options_.affine ? detail::new_parameter({channels}) : Parameter();
  bias = options_.affine ? detail::new_parameter({channels}) : Parameter();
  running_mean = Tensor::zeros({channels});
  running_var = Tensor::ones({channels});
}

void BatchNorm::reset_parameters(const InitRng&) {
  if (options_.affine) init::ones(weight);
  if (options_.affine) init::zeros(bias);
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
  BatchNormOptions options{
      .training = training(), .momentum = options_.momentum, .eps = options_.eps, .relu = relu};
  const auto constant = [&](double value) {
    return Variable(Tensor::full({options_.channels}, value, x.dtype()));
  };
  const Variable scale = options_.affine ? weight.value : constant(1.0);
  const Variable shift = options_.affine ? bias.value : constant(0.0);
  if (!scaling_) return batch_norm(x, scale, shift, &running, options, residual);
  const auto normalized = [&](bool with_relu, bool learns_scale) {
    options.relu = with_relu;
    return batch_norm(x, learns_scale ? scale : scale.detach(), shift, &running, options);
  };
  return scaling_->behind_norm({.x = x,
                                .residual = residual,
                                .relu = relu,
                                .affine = [&] { return affine_of(*this); },
                                .normalized = normalized});
}

std::string BatchNorm::describe_as(std::string_view kind) const {
  return cat(kind,
             "(",
             options_.channels,
             options_.relu ? ", relu" : "",
             options_.affine ? "" : ", not affine",
             ")");
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
