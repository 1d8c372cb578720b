// SPDX-License-Identifier: Apache-2.0
/// MultiheadAttention: scaled dot-product attention with several heads, composed of ops.
#pragma once

#include <espalier/nn/forms/slots.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Which keys a query may attend to. A mask is uint8, 1 where it must not (as PyTorch's boolean
/// masks), or floating and added to the scores: finite, or -infinity where it must not.
struct AttentionMasks {
  /// (T,S) for all, (N,T,S) for each sample, or (N,heads,T,S).
  Tensor attention = {};
  Tensor key_padding = {};  ///< (N,S): keys that only fill up a sequence
};

/// Attention over sequences, batch first: x (N, T, dim) to (N, T, dim), plain layout.
///
/// Parameters, in PyTorch's names: `in_proj_weight` (3*dim, dim) with the rows of query, key, value
/// below each other, `in_proj_bias` (3*dim), `out_proj.weight` (dim, dim), `out_proj.bias` (dim).
/// Initial values: in_proj_weight Xavier uniform, out_proj.weight as Linear, biases 0.
/// Source: Vaswani et al., arXiv:1706.03762.
class MultiheadAttention : public Module, public Formed {
 public:
  /// Sizes of the layer.
  struct Options {
    int64_t dim = 0;      ///< features of a position
    int64_t heads = 1;    ///< each sees dim/heads of the features
    bool causal = false;  ///< position t attends to positions 0..t only
    bool bias = true;     ///< of both projections
  };

  /// Throws ValueError when heads don't divide dim.
  explicit MultiheadAttention(const Options& options);

  /// query (N,T,dim), key and value (N,S,dim), to (N,T,dim). With `causal`, T must equal S
  /// (ShapeError). Throws ShapeError or TypeError for a mask that does not fit, ValueError for one
  /// that leaves a query no key (it would be a mean of nothing) or holds NaN or +infinity.
  Variable attend(const Variable& query,
                  const Variable& key,
                  const Variable& value,
                  const AttentionMasks& masks = {});
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override;
  LayerSizes sizes() const override;
  LayerSizes sizes_keeping(const KeptChannels& kept) const override;
  void set_sizes(const LayerSizes& sizes) override;
  void reset_parameters(const InitRng& rng) override;
  std::vector<FormSlot> form_slots() override;

  /// The sizes and choices that it was built with.
  const Options& options() const { return options_; }

  Parameter in_proj_weight;    ///< (3*dim, dim): query, key, value
  Parameter in_proj_bias;      ///< (3*dim); undefined without bias
  Linear out_proj;             ///< (dim, dim); it may have a form of its own
  std::shared_ptr<Form> form;  ///< of in_proj_weight; null: the weight

 protected:
  /// Self-attention.
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<MultiheadAttention>(*this);
  }

 private:
  Variable project(const Variable& query,
                   const Variable& key,
                   const Variable& value,
                   const AttentionMasks& masks);
  /// What causality and masks add to the scores (N,heads,T,S); undefined for nothing.
  Variable bias_of(const Shape& scores, DType dtype, const AttentionMasks& masks) const;
  Variable mix(const Variable& q,
               const Variable& k,
               const Variable& v,
               const AttentionMasks& masks);

  Options options_;
};

}  // namespace espalier::nn
