// SPDX-License-Identifier: Apache-2.0
/// GRU: a recurrent layer with gated units, composed of ops.
#pragma once

#include <vector>

#include <espalier/nn/forms/slots.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Output and last states of a GRU.
struct GruResult {
  Variable output;  ///< (N,T,H): the last layer's hidden state at every position
  Variable hidden;  ///< (layers,N,H): each layer's hidden state after the last position
};

/// x (N,T,in) to (N,T,hidden), batch first, plain layout. Gates r, z, n:
/// r = sigmoid(..), z = sigmoid(..), n = tanh(W_in x + b_in + r * (W_hn h + b_hn)),
/// h' = (1 - z) * n + z * h: PyTorch's form, in which the reset gate acts behind the product.
///
/// Parameters of layer k, in PyTorch's names: `weight_ih_l<k>` (3*hidden, in or hidden),
/// `weight_hh_l<k>` (3*hidden, hidden), `bias_ih_l<k>`, `bias_hh_l<k>` (3*hidden), rows in the
/// order r, z, n. Initial values: uniform in +-1/sqrt(hidden). Source: Cho et al., arXiv:1406.1078,
/// where the reset gate acts before the product instead.
class Gru : public Module, public Formed {
 public:
  /// Sizes of the layer.
  struct Options {
    int64_t in = 0;      ///< features of a position of the input
    int64_t hidden = 0;  ///< features of a position of the output
    int64_t layers = 1;  ///< each reads the one before
    bool bias = true;    ///< of both products
  };
  /// The parameters of one layer.
  struct Layer {
    Parameter weight_ih;            ///< (3*hidden, in or hidden)
    Parameter weight_hh;            ///< (3*hidden, hidden)
    Parameter bias_ih;              ///< undefined without bias
    Parameter bias_hh;              ///< undefined without bias
    std::shared_ptr<Form> form_ih;  ///< of weight_ih; null: the weight
    std::shared_ptr<Form> form_hh;  ///< of weight_hh; null: the weight
  };

  /// Throws ValueError when a size is not positive.
  explicit Gru(const Options& options);

  /// Output and states, from `hidden` (layers,N,H), or zeros when undefined.
  GruResult run(const Variable& x, const Variable& hidden = {});
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override;
  void reset_parameters(const InitRng& rng) override;
  std::vector<FormSlot> form_slots() override;

  /// The sizes and choices that it was built with.
  const Options& options() const { return options_; }

  std::vector<Layer> layers;  ///< from the input on

 protected:
  /// The output, from states of zero.
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Gru>(*this); }

 private:
  GruResult unroll(const Variable& x, const Variable& hidden) const;

  Options options_;
};

}  // namespace espalier::nn
