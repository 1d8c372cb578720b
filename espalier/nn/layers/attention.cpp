// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <limits>

#include <espalier/autograd/ops.h>
#include <espalier/core/loops.h>
#include <espalier/nn/layers/attention.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

namespace {

// 0 where position t may look at position s (s <= t), -infinity elsewhere; (T,T).
Tensor causal_bias(int64_t t, DType dtype) {
  Tensor bias = Tensor::zeros({t, t}, dtype);
  dispatch_floating(dtype, "MultiheadAttention", [&](auto zero) {
    using T = decltype(zero);
    T* p = bias.data<T>();
    for (int64_t i = 0; i < t; ++i) {
      for (int64_t j = i + 1; j < t; ++j) p[i * t + j] = -std::numeric_limits<T>::infinity();
    }
  });
  return bias;
}

// What a mask adds to the scores, (N or 1, heads or 1, T or 1, S).
Variable mask_bias(const Tensor& mask, const Shape& shape, std::string_view name, DType dtype) {
  ESPALIER_CHECK(mask.dtype() == DType::U8 || is_floating(mask.dtype()),
                 TypeError,
                 "MultiheadAttention: expects an uint8 or floating ",
                 name,
                 " mask, got ",
                 mask);
  const Tensor plain = mask.to(Layout::Nchw).contiguous().reshape(shape);
  Tensor bias = Tensor::zeros(shape, dtype);
  if (mask.dtype() != DType::U8) {
    bias.copy_(plain);
    return Variable(bias);
  }
  dispatch_floating(dtype, "MultiheadAttention", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, uint8_t>(
        bias, plain, [](uint8_t out) { return out ? -std::numeric_limits<T>::infinity() : T{0}; });
  });
  return Variable(bias);
}

// Every query must have a key, and no score may be undefined before it is computed.
void check_bias(const Tensor& bias) {
  const int64_t keys = bias.size(3);
  const std::vector<double> values = bias.to_vector<double>();
  for (size_t row = 0; row * static_cast<size_t>(keys) < values.size(); ++row) {
    bool any = false;
    for (size_t i = 0; i < static_cast<size_t>(keys); ++i) {
      const double value = values[row * static_cast<size_t>(keys) + i];
      ESPALIER_CHECK(value < std::numeric_limits<double>::infinity(),
                     ValueError,
                     "MultiheadAttention: a mask adds ",
                     value,
                     " to a score; expected a finite number or -infinity");
      any = any || std::isfinite(value);
    }
    const auto at = static_cast<int64_t>(row);
    ESPALIER_CHECK(any,
                   ValueError,
                   "MultiheadAttention: the masks leave query ",
                   at % bias.size(2),
                   " of sample ",
                   at / (bias.size(1) * bias.size(2)),
                   " no key to attend to. A query that only fills up a sequence may see any key: "
                   "leave it out of the loss instead");
  }
}

// (N,T,heads*d) to (N,heads,T,d).
Variable split_heads(const Variable& x, int64_t heads) {
  const int64_t d = x.size(2) / heads;
  return permute(reshape(x, {x.size(0), x.size(1), heads, d}), {0, 2, 1, 3});
}

// With a masked gradient request the mask is multiplied in, so that the gradient of a part of the
// weight is zero where the mask is, as an op that knows the support would make it.
Variable for_slices(const Effective& weight) {
  const sparse::WeightSparsity wanted = weight.sparsity.of_gradient();
  if (!wanted.support || wanted.request != sparse::GradRequest::Masked) return weight.value;
  return weight.value * Variable(wanted.support->mask().to(weight.value.dtype()));
}

}  // namespace

MultiheadAttention::MultiheadAttention(const Options& options)
    : out_proj({.in = options.dim, .out = options.dim, .bias = options.bias}), options_(options) {
  MultiheadAttention::set_sizes({});
  MultiheadAttention::reset_parameters(default_init_rng);
}

Variable MultiheadAttention::forward(const Variable& x) {
  return project(x, x, x, {});
}

Variable MultiheadAttention::attend(const Variable& query,
                                    const Variable& key,
                                    const Variable& value,
                                    const AttentionMasks& masks) {
  return call(query, {key, value}, [&] { return project(query, key, value, masks); });
}

Variable MultiheadAttention::project(const Variable& query,
                                     const Variable& key,
                                     const Variable& value,
                                     const AttentionMasks& masks) {
  const int64_t dim = options_.dim;
  for (const Variable* x : {&query, &key, &value}) {
    ESPALIER_CHECK(x->rank() == 3 && x->size(2) == dim && x->size(0) == query.size(0),
                   ShapeError,
                   "MultiheadAttention: expects sequences (N,T,",
                   dim,
                   ") of one batch size, got ",
                   x->shape());
  }
  ESPALIER_CHECK(key.size(1) == value.size(1),
                 ShapeError,
                 "MultiheadAttention: expects as many keys as values, got ",
                 key.shape(),
                 " and ",
                 value.shape());
  const Effective weight = effective_weight(form, in_proj_weight);
  if (query.state() == key.state() && key.state() == value.state()) {
    const Variable x = to_layout(query, Layout::Nchw);
    const std::vector<Variable> qkv =
        split(linear(x, weight.value, in_proj_bias.value, weight.sparsity), {dim, dim, dim}, 2);
    return mix(qkv[0], qkv[1], qkv[2], masks);
  }
  const std::array<const Variable*, 3> inputs = {&query, &key, &value};
  const Variable rows = for_slices(weight);
  std::array<Variable, 3> projected;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t begin = static_cast<int64_t>(i) * dim;
    projected[i] =
        linear(to_layout(*inputs[i], Layout::Nchw),
               slice(rows, 0, begin, begin + dim),
               options_.bias ? slice(in_proj_bias.value, 0, begin, begin + dim) : Variable());
  }
  return mix(projected[0], projected[1], projected[2], masks);
}

Variable MultiheadAttention::bias_of(const Shape& scores,
                                     DType dtype,
                                     const AttentionMasks& masks) const {
  const int64_t n = scores[0], queries = scores[2], keys = scores[3];
  Variable bias;
  const auto add = [&](const Variable& part) { bias = bias.defined() ? bias + part : part; };
  if (options_.causal) {
    ESPALIER_CHECK(queries == keys,
                   ShapeError,
                   "MultiheadAttention: causal attention expects as many queries as keys, got ",
                   queries,
                   " and ",
                   keys);
    add(Variable(causal_bias(queries, dtype)));
  }
  if (masks.attention.defined()) {
    const Shape& given = masks.attention.shape();
    Shape shape;
    if (given == Shape{queries, keys}) shape = {1, 1, queries, keys};
    if (given == Shape{n, queries, keys}) shape = {n, 1, queries, keys};
    if (given == scores) shape = scores;
    ESPALIER_CHECK(!shape.empty(),
                   ShapeError,
                   "MultiheadAttention: expects an attention mask (",
                   queries,
                   ",",
                   keys,
                   "), (",
                   n,
                   ",",
                   queries,
                   ",",
                   keys,
                   ") or ",
                   scores,
                   ", got ",
                   given);
    add(mask_bias(masks.attention, shape, "attention", dtype));
  }
  if (masks.key_padding.defined()) {
    ESPALIER_CHECK((masks.key_padding.shape() == Shape{n, keys}),
                   ShapeError,
                   "MultiheadAttention: expects a key padding mask (",
                   n,
                   ",",
                   keys,
                   "), got ",
                   masks.key_padding.shape());
    add(mask_bias(masks.key_padding, {n, 1, 1, keys}, "key padding", dtype));
  }
  if (masks.attention.defined() || masks.key_padding.defined()) {
    check_bias(bias.value());
  }
  return bias;
}

Variable MultiheadAttention::mix(const Variable& q,
                                 const Variable& k,
                                 const Variable& v,
                                 const AttentionMasks& masks) {
  const int64_t head_dim = options_.dim / options_.heads;
  const Variable keys = transpose(split_heads(k, options_.heads), 2, 3);
  Variable scores =
      bmm(split_heads(q, options_.heads), keys) * (1.0 / std::sqrt(static_cast<double>(head_dim)));
  const Variable bias = bias_of(scores.shape(), scores.dtype(), masks);
  if (bias.defined()) scores = scores + bias;
  const Variable mixed = bmm(softmax(scores, -1), split_heads(v, options_.heads));
  return out_proj(reshape(permute(mixed, {0, 2, 1, 3}), {q.size(0), q.size(1), options_.dim}));
}

void MultiheadAttention::visit(MemberVisitor& visitor) {
  visitor.parameter("in_proj_weight", in_proj_weight);
  visitor.parameter("in_proj_bias", in_proj_bias);
  visitor.module("out_proj", out_proj);
  if (form) visitor.part(form->member(), form);
}

std::vector<FormSlot> MultiheadAttention::form_slots() {
  return {{.weight = "in_proj_weight", .parameter = &in_proj_weight, .form = &form}};
}

std::string MultiheadAttention::describe() const {
  return cat("MultiheadAttention(",
             options_.dim,
             ", ",
             options_.heads,
             " heads",
             options_.causal ? ", causal" : "",
             ")");
}

ChannelCoupling MultiheadAttention::channel_coupling() const {
  return {.in = {{"in_proj_weight", 1}},
          .frozen_because = "attention's width is the number of its heads times their size"};
}

LayerSizes MultiheadAttention::sizes() const {
  return {{"dim", options_.dim}, {"heads", options_.heads}};
}

LayerSizes MultiheadAttention::sizes_keeping(const KeptChannels& kept) const {
  const auto stay = static_cast<int64_t>(kept.in.size());
  ESPALIER_CHECK(stay == options_.dim,
                 ValueError,
                 "sizes_keeping: ",
                 describe(),
                 " can't keep ",
                 stay,
                 " of its channels; its width is tied to its heads");
  return sizes();
}

void MultiheadAttention::set_sizes(const LayerSizes& sizes) {
  detail::check_size_names(sizes, this->sizes(), "MultiheadAttention");
  Options o = options_;
  detail::take_size(sizes, "dim", o.dim);
  detail::take_size(sizes, "heads", o.heads);
  detail::check_positive(o.dim, "MultiheadAttention", "dim");
  detail::check_positive(o.heads, "MultiheadAttention", "heads");
  ESPALIER_CHECK(o.dim % o.heads == 0,
                 ValueError,
                 "MultiheadAttention: expects heads that divide dim, got ",
                 o.heads,
                 " heads for dim ",
                 o.dim);
  check_resizable(form, "MultiheadAttention");
  options_ = o;
  in_proj_weight = detail::new_parameter({3 * o.dim, o.dim});
  in_proj_bias = o.bias ? detail::new_parameter({3 * o.dim}) : Parameter();
  out_proj.set_sizes({{"in", o.dim}, {"out", o.dim}});
}

void MultiheadAttention::reset_parameters(const InitRng& rng) {
  init::xavier_uniform(in_proj_weight, rng("in_proj_weight"));
  if (in_proj_bias.defined()) init::zeros(in_proj_bias);
  if (out_proj.bias.defined()) init::zeros(out_proj.bias);
}

}  // namespace espalier::nn
