// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/models/transformer.h>

#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/models/common.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn::models {
namespace {

constexpr double kInitStddev = 0.02;  // GPT-2 and ViT draw all weights so
constexpr double kMinusInfinity = -1e9;

/// (N,T,dim) to (N,heads,T,dim/heads).
Variable split_heads(const Variable& x, int64_t heads) {
  const int64_t dim = x.size(2);
  return permute(reshape(x, {x.size(0), x.size(1), heads, dim / heads}), {0, 2, 1, 3});
}

/// 0 where position t may see position s, very negative elsewhere: (T,T).
Tensor causal_bias(int64_t length, DType dtype) {
  Tensor bias = Tensor::zeros({length, length}, dtype);
  dispatch_floating(dtype, "attention", [&](auto zero) {
    using T = decltype(zero);
    T* data = bias.data<T>();
    for (int64_t t = 0; t < length; ++t) {
      for (int64_t s = t + 1; s < length; ++s)
        data[t * length + s] = static_cast<T>(kMinusInfinity);
    }
  });
  return bias;
}

void add_blocks(Sequential& blocks, const TransformerSizes& sizes, bool causal) {
  for (int64_t i = 0; i < sizes.depth; ++i) {
    blocks.add(
        TransformerBlock({.dim = sizes.dim, .heads = sizes.heads, .causal = causal}, sizes.hidden));
  }
}

/// Weights normal with a small deviation, biases zero; norms keep their ones and zeros.
void transformer_init(Module& model, const InitRng& rng) {
  for (const NamedParameter& p : model.named_parameters()) {
    if (p.parameter->shape().rank() >= 2) {
      init::truncated_normal(*p.parameter, rng(p.name), 0.0, kInitStddev);
    } else if (p.name.ends_with("bias")) {
      init::zeros(*p.parameter);
    }
  }
}

int64_t patches(const TransformerSizes& sizes, const data::ImageShape& image) {
  ESPALIER_CHECK(image.height % sizes.patch == 0 && image.width % sizes.patch == 0,
                 ValueError,
                 "vit: patches of ",
                 sizes.patch,
                 " pixels don't divide the image, ",
                 image.height,
                 "x",
                 image.width);
  return (image.height / sizes.patch) * (image.width / sizes.patch);
}

}  // namespace

SelfAttention::SelfAttention(const Options& options)
    : options_(options),
      q_({.in = options.dim, .out = options.dim}),
      k_({.in = options.dim, .out = options.dim}),
      v_({.in = options.dim, .out = options.dim}),
      proj_({.in = options.dim, .out = options.dim}) {
  ESPALIER_CHECK(options.heads > 0 && options.dim % options.heads == 0,
                 ValueError,
                 "attention: ",
                 options.heads,
                 " heads don't divide dim ",
                 options.dim);
}

Variable SelfAttention::forward(const Variable& x) {
  const Variable q = split_heads(q_(x), options_.heads);
  const Variable k = split_heads(k_(x), options_.heads);
  const Variable v = split_heads(v_(x), options_.heads);
  const double scale = 1.0 / std::sqrt(static_cast<double>(options_.dim / options_.heads));
  Variable scores = mul(bmm(q, transpose(k, 2, 3)), scale);
  if (options_.causal) scores = add(scores, Variable(causal_bias(x.size(1), x.dtype())));
  const Variable mixed = permute(bmm(softmax(scores, -1), v), {0, 2, 1, 3});
  return proj_(reshape(mixed, {x.size(0), x.size(1), options_.dim}));
}

void SelfAttention::visit(MemberVisitor& visitor) {
  visitor.module("q", q_);
  visitor.module("k", k_);
  visitor.module("v", v_);
  visitor.module("proj", proj_);
}

std::string SelfAttention::describe() const {
  return cat("SelfAttention(",
             options_.dim,
             ", heads ",
             options_.heads,
             options_.causal ? ", causal)" : ")");
}

TransformerBlock::TransformerBlock(const SelfAttention::Options& attention, int64_t hidden)
    : norm1_({.shape = {attention.dim}}),
      attn_(attention),
      norm2_({.shape = {attention.dim}}),
      fc1_({.in = attention.dim, .out = hidden}),
      fc2_({.in = hidden, .out = attention.dim}) {}

Variable TransformerBlock::forward(const Variable& x) {
  const Variable y = x + attn_(norm1_(x));
  return y + fc2_(gelu(fc1_(norm2_(y))));
}

void TransformerBlock::visit(MemberVisitor& visitor) {
  visitor.module("norm1", norm1_);
  visitor.module("attn", attn_);
  visitor.module("norm2", norm2_);
  visitor.module("fc1", fc1_);
  visitor.module("fc2", fc2_);
}

VisionTransformer::VisionTransformer(const TransformerSizes& sizes,
                                     const data::ImageShape& image,
                                     int64_t classes)
    : sizes_(sizes),
      patch_embed_({.in_channels = image.channels,
                    .out_channels = sizes.dim,
                    .kernel = sizes.patch,
                    .stride = sizes.patch}),
      cls_token_(Tensor::zeros({1, 1, sizes.dim})),
      pos_embed_(Tensor::zeros({1, 1 + patches(sizes, image), sizes.dim})),
      norm_({.shape = {sizes.dim}}),
      head_({.in = sizes.dim, .out = classes}) {
  add_blocks(blocks_, sizes, false);
}

Variable VisionTransformer::forward(const Variable& x) {
  const Variable map = patch_embed_(x);
  const int64_t n = map.size(0);
  const Variable plane = reshape(map, {n, sizes_.dim, map.size(2) * map.size(3)});
  const Variable cls = expand(cls_token_.value, {n, 1, sizes_.dim});
  Variable y = concat({cls, permute(plane, {0, 2, 1})}, 1) + pos_embed_.value;
  y = norm_(blocks_(y));
  return head_(reshape(slice(y, 1, 0, 1), {n, sizes_.dim}));
}

void VisionTransformer::visit(MemberVisitor& visitor) {
  visitor.module("patch_embed", patch_embed_);
  visitor.parameter("cls_token", cls_token_);
  visitor.parameter("pos_embed", pos_embed_);
  visitor.module("blocks", blocks_);
  visitor.module("norm", norm_);
  visitor.module("head", head_);
}

std::string VisionTransformer::describe() const {
  return cat("ViT(", sizes_.dim, ", depth ", sizes_.depth, ", patch ", sizes_.patch, ")");
}

void VisionTransformer::reset_parameters(const InitRng& rng) {
  transformer_init(*this, rng);
}

Gpt::Gpt(const TransformerSizes& sizes, int64_t vocabulary, int64_t context)
    : sizes_(sizes),
      context_(context),
      wte_({.count = vocabulary, .dim = sizes.dim}),
      wpe_({.count = context, .dim = sizes.dim}),
      norm_({.shape = {sizes.dim}}),
      head_({.in = sizes.dim, .out = vocabulary, .bias = false}) {
  add_blocks(blocks_, sizes, true);
}

Variable Gpt::forward(const Variable& tokens) {
  ESPALIER_CHECK(tokens.dtype() == DType::I64 && tokens.rank() == 2,
                 ShapeError,
                 "gpt: expects int64 tokens (N,T), got ",
                 tokens.value());
  ESPALIER_CHECK(tokens.size(1) <= context_,
                 ShapeError,
                 "gpt: expects at most ",
                 context_,
                 " tokens, got ",
                 tokens.size(1));
  const Variable positions = wpe_(Variable(Tensor::arange(tokens.size(1))));
  return head_(norm_(blocks_(wte_(tokens) + positions)));
}

void Gpt::visit(MemberVisitor& visitor) {
  visitor.module("wte", wte_);
  visitor.module("wpe", wpe_);
  visitor.module("blocks", blocks_);
  visitor.module("norm", norm_);
  visitor.module("head", head_);
}

std::string Gpt::describe() const {
  return cat("GPT(", sizes_.dim, ", depth ", sizes_.depth, ", context ", context_, ")");
}

void Gpt::reset_parameters(const InitRng& rng) {
  transformer_init(*this, rng);
}

}  // namespace espalier::nn::models
