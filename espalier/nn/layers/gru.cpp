// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/detail/recurrent.h>
#include <espalier/nn/layers/gru.h>

namespace espalier::nn {

namespace {

constexpr int64_t kGates = 3;

// One position: `of_input` (N,3H) holds the contribution of the input.
Variable advance(const Effective& weight,
                 const Variable& bias,
                 const Variable& of_input,
                 const Variable& hidden) {
  const int64_t h = hidden.size(1);
  const Variable of_hidden = linear(hidden, weight.value, bias, weight.sparsity);
  const std::vector<Variable> x = split(of_input, {h, h, h}, 1);
  const std::vector<Variable> s = split(of_hidden, {h, h, h}, 1);
  const Variable reset = sigmoid(x[0] + s[0]);
  const Variable keep = sigmoid(x[1] + s[1]);
  const Variable fresh = tanh(x[2] + reset * s[2]);
  return fresh + keep * (hidden - fresh);
}

}  // namespace

Gru::Gru(const Options& options) : options_(options) {
  detail::make_recurrent_layers(layers, options, kGates, "Gru");
  Gru::reset_parameters(default_init_rng);
}

Variable Gru::forward(const Variable& x) {
  return unroll(x, {}).output;
}

GruResult Gru::run(const Variable& x, const Variable& hidden) {
  GruResult result;
  call(x, {hidden}, [&] {
    result = unroll(x, hidden);
    return result.output;
  });
  return result;
}

GruResult Gru::unroll(const Variable& x, const Variable& hidden) const {
  detail::check_sequence(x, {&hidden}, options_, "Gru");
  const int64_t n = x.size(0);
  const int64_t steps = x.size(1);
  const Shape state_shape{n, options_.hidden};
  Variable sequence = to_layout(x, Layout::Nchw);
  std::vector<Variable> last;
  for (int64_t k = 0; k < options_.layers; ++k) {
    const Layer& layer = layers[static_cast<size_t>(k)];
    Variable state = detail::state_of_layer(hidden, k, state_shape, x.dtype());
    // The inputs' part of the gates needs no recurrence: one product for all positions.
    const Effective of_input = effective_weight(layer.form_ih, layer.weight_ih);
    const Effective of_hidden = effective_weight(layer.form_hh, layer.weight_hh);
    const Variable gates = linear(sequence, of_input.value, layer.bias_ih.value, of_input.sparsity);
    std::vector<Variable> outputs;
    for (int64_t t = 0; t < steps; ++t) {
      const Variable at = reshape(slice(gates, 1, t, t + 1), {n, kGates * options_.hidden});
      state = advance(of_hidden, layer.bias_hh.value, at, state);
      outputs.push_back(reshape(state, {n, 1, options_.hidden}));
    }
    sequence = concat(outputs, 1);
    last.push_back(reshape(state, {1, n, options_.hidden}));
  }
  return {sequence, concat(last, 0)};
}

void Gru::visit(MemberVisitor& visitor) {
  detail::visit_recurrent_layers(layers, visitor);
}

std::string Gru::describe() const {
  return detail::describe_recurrent("Gru", options_);
}

std::vector<FormSlot> Gru::form_slots() {
  return detail::recurrent_slots(layers);
}

ChannelCoupling Gru::channel_coupling() const {
  return detail::recurrent_coupling(layers.size());
}

void Gru::reset_parameters(const InitRng& rng) {
  detail::reset_recurrent(*this, options_.hidden, rng);
}

}  // namespace espalier::nn
