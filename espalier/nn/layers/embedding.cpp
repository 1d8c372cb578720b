// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/layers/embedding.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

Embedding::Embedding(const Options& options) : options_(options) {
  Embedding::set_sizes({});
  Embedding::reset_parameters(default_init_rng);
}

Variable Embedding::forward(const Variable& ids) {
  return embedding(weight.value, ids.value());
}

void Embedding::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
}

std::string Embedding::describe() const {
  return cat("Embedding(", options_.count, ", ", options_.dim, ")");
}

ChannelCoupling Embedding::channel_coupling() const {
  return {.out = {{"weight", 1}}};
}

LayerSizes Embedding::sizes() const {
  return {{"count", options_.count}, {"dim", options_.dim}};
}

LayerSizes Embedding::sizes_keeping(const KeptChannels& kept) const {
  return {{"count", options_.count}, {"dim", static_cast<int64_t>(kept.out.size())}};
}

void Embedding::set_sizes(const LayerSizes& sizes) {
  detail::check_size_names(sizes, this->sizes(), "Embedding");
  Options o = options_;
  detail::take_size(sizes, "count", o.count);
  detail::take_size(sizes, "dim", o.dim);
  detail::check_positive(o.count, "Embedding", "count");
  detail::check_positive(o.dim, "Embedding", "dim");
  options_ = o;
  weight = detail::new_parameter({o.count, o.dim});
}

void Embedding::reset_parameters(const InitRng& rng) {
  init::normal(weight, rng("weight"));
}

}  // namespace espalier::nn
