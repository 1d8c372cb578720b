// SPDX-License-Identifier: Apache-2.0
/// Two small transformers with the same block: a ViT for small images and a GPT for tokens.
/// Sources: Vaswani et al., arXiv:1706.03762; Dosovitskiy et al., arXiv:2010.11929; Radford et al.,
/// "Language models are unsupervised multitask learners", 2019 (pre-norm blocks).
#pragma once

#include <vector>

#include <espalier/data/dataset.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/embedding.h>
#include <espalier/nn/layers/layer_norm.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/layers/sequential.h>

namespace espalier::nn::models {

/// Self-attention as linear layers and products, so that each projection is a layer of its own to
/// pruners: x (N,T,dim) to (N,T,dim). Layers `q`, `k`, `v`, `proj`.
class SelfAttention : public Module {
 public:
  /// Sizes of the attention. Heads divide dim (ValueError otherwise).
  struct Options {
    int64_t dim = 0;      ///< features of a position
    int64_t heads = 1;    ///< each sees dim/heads of the features
    bool causal = false;  ///< a position sees itself and earlier ones only
  };
  /// Throws ValueError when heads don't divide dim.
  explicit SelfAttention(const Options& options);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<SelfAttention>(*this);
  }

 private:
  Options options_;
  Linear q_, k_, v_, proj_;
};

/// x + attn(norm1 x), then x + fc2(gelu(fc1(norm2 x))). Layers `norm1`, `attn`, `norm2`, `fc1`,
/// `fc2`.
class TransformerBlock : public Module {
 public:
  /// `hidden` is the width of the two-layer part.
  TransformerBlock(const SelfAttention::Options& attention, int64_t hidden);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return "TransformerBlock"; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<TransformerBlock>(*this);
  }

 private:
  LayerNorm norm1_;
  SelfAttention attn_;
  LayerNorm norm2_;
  Linear fc1_, fc2_;
};

/// Sizes of a small transformer.
struct TransformerSizes {
  int64_t dim = 192;     ///< features of a position
  int64_t depth = 6;     ///< blocks
  int64_t heads = 3;     ///< of every attention
  int64_t hidden = 768;  ///< of the two-layer part
  int64_t patch = 4;     ///< pixels a side, ViT only
};

/// Images (N,C,H,W) to (N,classes): `patch_embed` (a convolution), `cls_token`, `pos_embed`,
/// `blocks.N`, `norm`, `head` on the class token.
class VisionTransformer : public Module {
 public:
  /// Throws ValueError when the patch does not divide the image.
  VisionTransformer(const TransformerSizes& sizes, const data::ImageShape& image, int64_t classes);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<VisionTransformer>(*this);
  }

 private:
  TransformerSizes sizes_;
  Conv2d patch_embed_;
  Parameter cls_token_;  // (1, 1, dim)
  Parameter pos_embed_;  // (1, 1 + patches, dim)
  Sequential blocks_;
  LayerNorm norm_;
  Linear head_;
};

/// Tokens (N,T) int64, T <= context, to the logits of each next token (N,T,vocabulary). `forward`
/// takes the tokens as a constant Variable. Layers `wte`, `wpe` (embeddings), `blocks.N`, `norm`,
/// `head`.
class Gpt : public Module {
 public:
  /// `vocabulary` inputs and outputs, texts of at most `context` tokens.
  Gpt(const TransformerSizes& sizes, int64_t vocabulary, int64_t context);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;

 protected:
  Variable forward(const Variable& tokens) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Gpt>(*this); }

 private:
  TransformerSizes sizes_;
  int64_t context_;
  Embedding wte_, wpe_;
  Sequential blocks_;
  LayerNorm norm_;
  Linear head_;
};

}  // namespace espalier::nn::models
