// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/detail/recurrent.h>
#include <espalier/nn/layers/lstm.h>

namespace espalier::nn {

namespace {

struct State {
  Variable hidden;  // (N,H)
  Variable cell;    // (N,H)
};

// One position: gates (N,4H) hold the contribution of the input.
State advance(const Effective& weight,
              const Variable& bias,
              const Variable& gates_of_input,
              const State& state) {
  const int64_t h = state.hidden.size(1);
  const Variable gates = gates_of_input + linear(state.hidden, weight.value, bias, weight.sparsity);
  const std::vector<Variable> parts = split(gates, {h, h, h, h}, 1);
  const Variable cell = sigmoid(parts[1]) * state.cell + sigmoid(parts[0]) * tanh(parts[2]);
  return {sigmoid(parts[3]) * tanh(cell), cell};
}

}  // namespace

Lstm::Lstm(const Options& options) : options_(options) {
  detail::make_recurrent_layers(layers, options, 4, "Lstm");
  Lstm::reset_parameters(default_init_rng);
}

Variable Lstm::forward(const Variable& x) {
  return unroll(x, {}, {}).output;
}

LstmResult Lstm::run(const Variable& x, const Variable& hidden, const Variable& cell) {
  LstmResult result;
  call(x, {hidden, cell}, [&] {
    result = unroll(x, hidden, cell);
    return result.output;
  });
  return result;
}

LstmResult Lstm::unroll(const Variable& x, const Variable& hidden, const Variable& cell) const {
  detail::check_sequence(x, {&hidden, &cell}, options_, "Lstm");
  const int64_t n = x.size(0);
  const int64_t steps = x.size(1);
  const Shape state_shape{n, options_.hidden};
  Variable sequence = to_layout(x, Layout::Nchw);
  std::vector<Variable> last_hidden;
  std::vector<Variable> last_cell;
  for (int64_t k = 0; k < options_.layers; ++k) {
    const Layer& layer = layers[static_cast<size_t>(k)];
    State state{detail::state_of_layer(hidden, k, state_shape, x.dtype()),
                detail::state_of_layer(cell, k, state_shape, x.dtype())};
    // The inputs' part of the gates needs no recurrence: one product for all positions.
    const Effective of_input = effective_weight(layer.form_ih, layer.weight_ih);
    const Effective of_hidden = effective_weight(layer.form_hh, layer.weight_hh);
    const Variable gates = linear(sequence, of_input.value, layer.bias_ih.value, of_input.sparsity);
    std::vector<Variable> outputs;
    for (int64_t t = 0; t < steps; ++t) {
      const Variable at = reshape(slice(gates, 1, t, t + 1), {n, 4 * options_.hidden});
      state = advance(of_hidden, layer.bias_hh.value, at, state);
      outputs.push_back(reshape(state.hidden, {n, 1, options_.hidden}));
    }
    sequence = concat(outputs, 1);
    last_hidden.push_back(reshape(state.hidden, {1, n, options_.hidden}));
    last_cell.push_back(reshape(state.cell, {1, n, options_.hidden}));
  }
  return {sequence, concat(last_hidden, 0), concat(last_cell, 0)};
}

void Lstm::visit(MemberVisitor& visitor) {
  detail::visit_recurrent_layers(layers, visitor);
}

std::string Lstm::describe() const {
  return detail::describe_recurrent("Lstm", options_);
}

std::vector<FormSlot> Lstm::form_slots() {
  return detail::recurrent_slots(layers);
}

ChannelCoupling Lstm::channel_coupling() const {
  return detail::recurrent_coupling(layers.size());
}

void Lstm::reset_parameters(const InitRng& rng) {
  detail::reset_recurrent(*this, options_.hidden, rng);
}

}  // namespace espalier::nn
