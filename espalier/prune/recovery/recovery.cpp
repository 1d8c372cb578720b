// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <espalier/prune/recovery/recovery.h>

namespace espalier::prune {

using Tensors = std::map<std::string, Tensor>;

namespace {

constexpr const char* kValue = "value/";
constexpr const char* kRandom = "random/";
constexpr const char* kRate = "last_rate";
constexpr const char* kInRound = "in_round";

Tensors with_prefix(const Tensors& state, const std::string& prefix) {
  Tensors found;
  for (const auto& [name, tensor] : state) {
    if (name.starts_with(prefix)) found[name.substr(prefix.size())] = tensor.clone();
  }
  return found;
}

}  // namespace

Recovery::Recovery(const RecoveryOptions& options) : options_(options) {
  ESPALIER_CHECK(options.from >= 0.0 && options.from <= 1.0 && options.constant_rate >= 0.0,
                 ValueError,
                 "recovery: expects a start in 0 .. 1 and a rate >= 0, got ",
                 options.from,
                 " and ",
                 options.constant_rate);
}

int64_t Recovery::first_step(int64_t total_steps) const {
  return std::llround(options_.from * static_cast<double>(total_steps));
}

void Recovery::before_step(nn::TrainState& state) {
  if (!in_round_) {
    last_rate_ = state.optimizer.lr();
    if (state.step == first_step(state.total_steps)) take_snapshot(state.model);
  } else if (options_.rate == RoundRate::Constant) {
    state.optimizer.set_lr(options_.constant_rate > 0.0 ? options_.constant_rate : last_rate_);
  }
}

int64_t Recovery::start_round(nn::TrainState& state, const PruneInputs& inputs, int64_t round) {
  const int64_t step = first_step(state.total_steps);
  // Going back to the very end: the weights are those that were just trained.
  if (!in_round_ && step == state.total_steps) take_snapshot(state.model);
  in_round_ = true;
  switch (options_.weights) {
    case RoundWeights::Final:
      break;
    case RoundWeights::Rewound:
      restore_snapshot(state.model);
      break;
    case RoundWeights::Fresh:
      set_fresh_values(state.model, inputs, round);
      break;
  }
  state.optimizer.load_state_dict({});
  return step;
}

void Recovery::take_snapshot(nn::Module& model) {
  if (options_.weights != RoundWeights::Rewound) return;
  for (const nn::NamedParameter& one : model.named_parameters()) {
    values_[one.name] = one.parameter->value.value().clone();
  }
  for (const nn::NamedBuffer& one : model.named_buffers()) values_[one.name] = one.buffer->clone();
  for (const auto& [name, tensor] : model.rng_state()) random_[name] = tensor.clone();
}

void Recovery::restore_snapshot(nn::Module& model) const {
  ESPALIER_CHECK(!values_.empty(),
                 ValueError,
                 "recovery: no weights were kept to go back to; was this training resumed without "
                 "the pruner's state?");
  set_values(model, values_);
  model.load_rng_state(random_);
}

Tensors Recovery::state() const {
  Tensors state = {{kRate, Tensor::scalar(last_rate_, DType::F64)},
                   {kInRound, Tensor::scalar(in_round_ ? 1.0 : 0.0, DType::U8)}};
  for (const auto& [name, tensor] : values_) state[kValue + name] = tensor;
  for (const auto& [name, tensor] : random_) state[kRandom + name] = tensor;
  return state;
}

void Recovery::load_state(const Tensors& state) {
  ESPALIER_CHECK(state.contains(kRate) && state.contains(kInRound),
                 ValueError,
                 "recovery: the saved state has no '",
                 kRate,
                 "' or no '",
                 kInRound,
                 "'");
  last_rate_ = state.at(kRate).item();
  in_round_ = state.at(kInRound).item() != 0.0;
  values_ = with_prefix(state, kValue);
  random_ = with_prefix(state, kRandom);
}

}  // namespace espalier::prune
