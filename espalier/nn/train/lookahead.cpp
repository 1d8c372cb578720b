// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/lookahead.h>

#include <utility>

#include <espalier/core/loops.h>
#include <espalier/sparse/kept_values.h>

namespace espalier::nn {
namespace {

const Optimizer& checked(const std::unique_ptr<Optimizer>& inner) {
  ESPALIER_CHECK(inner != nullptr, ValueError, "Lookahead: there is no optimizer to look after");
  ESPALIER_CHECK(inner->state_dict().empty(),
                 ValueError,
                 "Lookahead: the optimizer has made steps already; wrap it before the first");
  return *inner;
}

}  // namespace

Lookahead::Lookahead(std::unique_ptr<Optimizer> inner, const LookaheadOptions& options)
    : Optimizer(checked(inner).groups(), checked(inner).lr()),
      inner_(std::move(inner)),
      options_(options) {
  ESPALIER_CHECK(
      options.every >= 1, ValueError, "Lookahead: expects every >= 1 updates, got ", options.every);
  ESPALIER_CHECK(options.alpha >= 0.0 && options.alpha <= 1.0,
                 ValueError,
                 "Lookahead: expects 0 <= alpha <= 1, got ",
                 options.alpha);
}

std::vector<std::string> Lookahead::slot_kinds(const NamedParameter& parameter) const {
  std::vector<std::string> kinds = inner_->slot_kinds(parameter);
  kinds.emplace_back("slow");
  return kinds;
}

bool Lookahead::counts_entries(const NamedParameter& parameter) const {
  return inner_->counts_entries(parameter);
}

void Lookahead::update(NamedParameter& parameter, ParameterState& state, double lr, double decay) {
  const auto live = [&] {
    const Tensor& value = parameter.parameter->value.value();
    return state.support ? sparse::kept_values(value, *state.support) : value;
  };
  Tensor slow = std::move(state.slots.back());
  state.slots.pop_back();
  if (state.step == 1) slow.copy_(live());
  inner_->update(parameter, state, lr, decay);
  if (state.step % options_.every == 0) {
    Tensor& value = parameter.parameter->value.value();
    dispatch_floating(value.dtype(), "Lookahead", [&](auto zero) {
      using T = decltype(zero);
      const T alpha = static_cast<T>(options_.alpha);
      map_into<T, T, T>(slow, slow, live(), [=](T s, T w) { return s + alpha * (w - s); });
    });
    value.copy_(state.dense(slow));
  }
  state.slots.push_back(std::move(slow));
}

}  // namespace espalier::nn
