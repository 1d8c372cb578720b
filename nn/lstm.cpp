// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/detail/layer.h>
#include <espalier/nn/init.h>
#include <espalier/nn/lstm.h>

namespace espalier::nn {

namespace {

struct State {
  Variable hidden;  // (N,H)
  Variable cell;    // (N,H)
};

// One position: gates (N,4H) hold the contribution of the input.
State advance(const Lstm::Layer& layer, const Variable& gates_of_input, const State& state) {
  const int64_t h = state.hidden.size(1);
  const Variable gates =
      gates_of_input +
      linear(state.hidden, layer.weight_hh.value, layer.bias_hh.value, layer.weight_hh.sparsity());
  const std::vector<Variable> parts = split(gates, {h, h, h, h}, 1);
  const Variable cell = sigmoid(parts[1]) * state.cell + sigmoid(parts[0]) * tanh(parts[2]);
  return {sigmoid(parts[3]) * tanh(cell), cell};
}

// Row `k` of (layers,N,H) as (N,H), or zeros.
Variable state_of_layer(const Variable& states, int64_t k, const Shape& shape, DType dtype) {
  if (!states.defined()) return Variable(Tensor::zeros(shape, dtype));
  return reshape(slice(states, 0, k, k + 1), shape);
}

}  // namespace

Lstm::Lstm(const Options& options) : options_(options) {
  detail::check_positive(options.in, "Lstm", "in");
  detail::check_positive(options.hidden, "Lstm", "hidden");
  detail::check_positive(options.layers, "Lstm", "layers");
  const int64_t gates = 4 * options.hidden;
  for (int64_t k = 0; k < options.layers; ++k) {
    Layer layer;
    layer.weight_ih = detail::new_parameter({gates, k == 0 ? options.in : options.hidden});
    layer.weight_hh = detail::new_parameter({gates, options.hidden});
    if (options.bias) {
      layer.bias_ih = detail::new_parameter({gates});
      layer.bias_hh = detail::new_parameter({gates});
    }
    layers.push_back(std::move(layer));
  }
  Lstm::reset_parameters(default_init_rng);
}

Variable Lstm::forward(const Variable& x) {
  return run(x).output;
}

LstmResult Lstm::run(const Variable& x, const Variable& hidden, const Variable& cell) {
  ESPALIER_CHECK(x.rank() == 3 && x.size(2) == options_.in && x.size(1) > 0,
                 ShapeError,
                 "Lstm: expects x (N,T,",
                 options_.in,
                 ") with T > 0, got ",
                 x.shape());
  const int64_t n = x.size(0);
  const int64_t steps = x.size(1);
  const Shape state_shape{n, options_.hidden};
  const Shape states_shape{options_.layers, n, options_.hidden};
  for (const Variable* states : {&hidden, &cell}) {
    ESPALIER_CHECK(!states->defined() || states->shape() == states_shape,
                   ShapeError,
                   "Lstm: expects states ",
                   states_shape,
                   ", got ",
                   states->defined() ? states->shape() : Shape());
  }

  Variable sequence = to_layout(x, Layout::Nchw);
  std::vector<Variable> last_hidden;
  std::vector<Variable> last_cell;
  for (int64_t k = 0; k < options_.layers; ++k) {
    const Layer& layer = layers[static_cast<size_t>(k)];
    State state{state_of_layer(hidden, k, state_shape, x.dtype()),
                state_of_layer(cell, k, state_shape, x.dtype())};
    // The inputs' part of the gates needs no recurrence: one product for all positions.
    const Variable gates =
        linear(sequence, layer.weight_ih.value, layer.bias_ih.value, layer.weight_ih.sparsity());
    std::vector<Variable> outputs;
    for (int64_t t = 0; t < steps; ++t) {
      const Variable at = reshape(slice(gates, 1, t, t + 1), {n, 4 * options_.hidden});
      state = advance(layer, at, state);
      outputs.push_back(reshape(state.hidden, {n, 1, options_.hidden}));
    }
    sequence = concat(outputs, 1);
    last_hidden.push_back(reshape(state.hidden, {1, n, options_.hidden}));
    last_cell.push_back(reshape(state.cell, {1, n, options_.hidden}));
  }
  return {sequence, concat(last_hidden, 0), concat(last_cell, 0)};
}

void Lstm::visit(MemberVisitor& visitor) {
  for (size_t k = 0; k < layers.size(); ++k) {
    const std::string suffix = cat("_l", k);
    visitor.parameter("weight_ih" + suffix, layers[k].weight_ih);
    visitor.parameter("weight_hh" + suffix, layers[k].weight_hh);
    visitor.parameter("bias_ih" + suffix, layers[k].bias_ih);
    visitor.parameter("bias_hh" + suffix, layers[k].bias_hh);
  }
}

std::string Lstm::describe() const {
  return cat("Lstm(",
             options_.in,
             ", ",
             options_.hidden,
             options_.layers == 1 ? "" : cat(", ", options_.layers, " layers"),
             ")");
}

ChannelCoupling Lstm::channel_coupling() const {
  ChannelCoupling coupling{.in = {{"weight_ih_l0", 1}},
                           .frozen_because = "a recurrent layer's hidden units feed themselves"};
  for (size_t k = 0; k < layers.size(); ++k) {
    if (k > 0) coupling.inner.push_back({cat("weight_ih_l", k), 1});
    coupling.inner.push_back({cat("weight_hh_l", k), 1});
  }
  return coupling;
}

void Lstm::reset_parameters(const InitRng& rng) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(options_.hidden));
  class Uniform : public MemberVisitor {
   public:
    Uniform(const InitRng& rng, double bound) : rng_(rng), bound_(bound) {}
    void parameter(std::string_view name, Parameter& p) override {
      if (p.defined()) init::uniform(p, rng_(name), -bound_, bound_);
    }
    void buffer(std::string_view, Tensor&) override {}
    void rng(std::string_view, Rng&) override {}
    void module(std::string_view, Module&) override {}

   private:
    const InitRng& rng_;
    double bound_;
  };
  Uniform visitor(rng, bound);
  visit(visitor);
}

}  // namespace espalier::nn
