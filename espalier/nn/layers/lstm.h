// SPDX-License-Identifier: Apache-2.0
/// LSTM: a recurrent layer with long short-term memory, composed of ops.
#pragma once

#include <vector>

#include <espalier/nn/forms/slots.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Output and last states of a recurrent layer.
struct LstmResult {
  Variable output;  ///< (N,T,H): the last layer's hidden state at every position
  Variable hidden;  ///< (layers,N,H): each layer's hidden state after the last position
  Variable cell;    ///< (layers,N,H)
};

/// x (N,T,in) to (N,T,hidden), batch first, plain layout. Gates i, f, g, o:
/// c' = sigmoid(f)*c + sigmoid(i)*tanh(g), h' = sigmoid(o)*tanh(c').
///
/// Parameters of layer k, in PyTorch's names: `weight_ih_l<k>` (4*hidden, in or hidden),
/// `weight_hh_l<k>` (4*hidden, hidden), `bias_ih_l<k>`, `bias_hh_l<k>` (4*hidden), rows in the
/// order i, f, g, o. Initial values: uniform in +-1/sqrt(hidden). Source: Hochreiter, Schmidhuber,
/// 1997, with forget gates (Gers et al., 2000).
class Lstm : public Module, public Formed {
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
    Parameter weight_ih;            ///< (4*hidden, in or hidden)
    Parameter weight_hh;            ///< (4*hidden, hidden)
    Parameter bias_ih;              ///< undefined without bias
    Parameter bias_hh;              ///< undefined without bias
    std::shared_ptr<Form> form_ih;  ///< of weight_ih; null: the weight
    std::shared_ptr<Form> form_hh;  ///< of weight_hh; null: the weight
  };

  /// Throws ValueError when a size is not positive.
  explicit Lstm(const Options& options);

  /// Output and states, from `hidden` and `cell` (layers,N,H), or zeros when undefined.
  LstmResult run(const Variable& x, const Variable& hidden = {}, const Variable& cell = {});
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
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Lstm>(*this); }

 private:
  LstmResult unroll(const Variable& x, const Variable& hidden, const Variable& cell) const;

  Options options_;
};

}  // namespace espalier::nn
