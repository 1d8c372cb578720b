// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/layers/group_norm.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

GroupNorm::GroupNorm(const Options& options) : options_(options) {
  GroupNorm::set_sizes({});
  GroupNorm::reset_parameters(default_init_rng);
}

Variable GroupNorm::forward(const Variable& x) {
  const auto constant = [&](double value) {
    return Variable(Tensor::full({options_.channels}, value, x.dtype()));
  };
  const Variable scale = options_.affine ? weight.value : constant(1.0);
  const Variable shift = options_.affine ? bias.value : constant(0.0);
  return group_norm(x, options_.groups, scale, shift, options_.eps);
}

void GroupNorm::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
}

std::string GroupNorm::describe() const {
  return cat("GroupNorm(",
             options_.groups,
             " groups, ",
             options_.channels,
             options_.affine ? "" : ", not affine",
             ")");
}

ChannelCoupling GroupNorm::channel_coupling() const {
  std::vector<ChannelSlice> all;
  if (options_.affine) all = {{"weight", 0}, {"bias", 0}};
  return {.in = all,
          .out = all,
          .passes_through = true,
          .groups = options_.groups,
          .frozen_because = "group norm takes its mean over the channels of a group"};
}

LayerSizes GroupNorm::sizes() const {
  return {{"channels", options_.channels}, {"groups", options_.groups}};
}

LayerSizes GroupNorm::sizes_keeping(const KeptChannels& kept) const {
  return {{"channels", detail::kept_both(kept, "GroupNorm")}, {"groups", options_.groups}};
}

void GroupNorm::set_sizes(const LayerSizes& sizes) {
  detail::check_size_names(sizes, this->sizes(), "GroupNorm");
  Options o = options_;
  detail::take_size(sizes, "channels", o.channels);
  detail::take_size(sizes, "groups", o.groups);
  detail::check_positive(o.channels, "GroupNorm", "channels");
  detail::check_positive(o.groups, "GroupNorm", "groups");
  ESPALIER_CHECK(o.channels % o.groups == 0,
                 ValueError,
                 "GroupNorm: expects groups that divide the channels, got ",
                 o.groups,
                 " groups for ",
                 o.channels,
                 " channels");
  options_ = o;
  weight = options_.affine ? detail::new_parameter({o.channels}) : Parameter();
  bias = options_.affine ? detail::new_parameter({o.channels}) : Parameter();
}

void GroupNorm::reset_parameters(const InitRng&) {
  if (!options_.affine) return;
  init::ones(weight);
  init::zeros(bias);
}

}  // namespace espalier::nn
