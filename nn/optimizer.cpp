// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <set>

#include <espalier/core/loops.h>
#include <espalier/nn/optimizer.h>

namespace espalier::nn {

namespace {

constexpr int64_t kGrain = 16384;
constexpr const char* kStep = "step";
constexpr const char* kAge = "age";

}  // namespace

std::vector<ParameterGroup> parameter_groups(Module& model,
                                             double weight_decay,
                                             bool decay_norm_and_bias) {
  ParameterGroup decayed{.weight_decay = weight_decay};
  ParameterGroup plain;
  for (const NamedParameter& p : model.named_parameters()) {
    const bool decay =
        p.parameter->decays && (decay_norm_and_bias || p.parameter->shape().rank() >= 2);
    (decay ? decayed : plain).parameters.push_back(p);
  }
  std::vector<ParameterGroup> groups;
  groups.push_back(std::move(decayed));
  if (!plain.parameters.empty()) groups.push_back(std::move(plain));
  return groups;
}

Optimizer::Optimizer(std::vector<ParameterGroup> groups, double lr) : groups_(std::move(groups)) {
  set_lr(lr);
  std::set<std::string> names;
  std::set<const Parameter*> seen;
  for (const ParameterGroup& group : groups_) {
    ESPALIER_CHECK(group.weight_decay >= 0.0,
                   ValueError,
                   "Optimizer: expects weight decay >= 0, got ",
                   group.weight_decay);
    for (const NamedParameter& p : group.parameters) {
      ESPALIER_CHECK(names.insert(p.name).second && seen.insert(p.parameter).second,
                     ValueError,
                     "Optimizer: the parameter '",
                     p.name,
                     "' is given twice");
    }
  }
}

void Optimizer::set_lr(double lr) {
  ESPALIER_CHECK(std::isfinite(lr) && lr >= 0.0,
                 ValueError,
                 "Optimizer: expects a finite learning rate >= 0, got ",
                 lr);
  lr_ = lr;
}

Optimizer::ParameterState& Optimizer::state_of(const NamedParameter& parameter) {
  ParameterState& state = states_[parameter.name];
  const Tensor& value = parameter.parameter->value.value();
  const size_t count = slot_kinds().size();
  if (state.slots.size() != count) {
    state.slots.clear();
    for (size_t i = 0; i < count; ++i) state.slots.push_back(Tensor::zeros_like(value));
  }
  const auto check = [&](const Tensor& slot) {
    ESPALIER_CHECK(slot.shape() == value.shape() && slot.dtype() == value.dtype(),
                   ShapeError,
                   "Optimizer: the state of '",
                   parameter.name,
                   "' is ",
                   slot,
                   " but the parameter is ",
                   value,
                   "; after changing a parameter's shape, change its slots() too");
  };
  for (const Tensor& slot : state.slots) check(slot);
  if (state.age.defined()) check(state.age);
  return state;
}

void Optimizer::count_entries(const Parameter& parameter, ParameterState& state) const {
  if (!counts_entries() || !parameter.masked() || state.age.defined()) return;
  // Until now all entries were there from the start; masked ones lose their age as all their state.
  state.age = Tensor::zeros_like(parameter.value.value());
  state.age.fill_(static_cast<double>(state.step));
}

const NamedParameter& Optimizer::named(const std::string& parameter, std::string_view op) const {
  for (const ParameterGroup& group : groups_) {
    const auto found = std::ranges::find(group.parameters, parameter, &NamedParameter::name);
    if (found != group.parameters.end()) return *found;
  }
  throw ValueError(cat(op, ": there is no parameter '", parameter, "'"));
}

void Optimizer::step() {
  for (ParameterGroup& group : groups_) {
    for (NamedParameter& p : group.parameters) {
      const Variable& gradient = p.parameter->value.grad();
      if (!gradient.defined()) continue;
      const Tensor& value = p.parameter->value.value();
      ESPALIER_CHECK(gradient.shape() == value.shape() && gradient.dtype() == value.dtype(),
                     ShapeError,
                     "Optimizer: the gradient of '",
                     p.name,
                     "' is ",
                     gradient.value(),
                     " but the parameter is ",
                     value);
      ESPALIER_CHECK(value.is_contiguous(),
                     ShapeError,
                     "Optimizer: the value of '",
                     p.name,
                     "' is a strided view; set a contiguous one");
      ParameterState& state = state_of(p);
      count_entries(*p.parameter, state);
      ++state.step;
      update(p, state, lr_ * group.lr_scale, group.weight_decay);
    }
  }
}

void Optimizer::zero_grad() {
  for (ParameterGroup& group : groups_) {
    for (NamedParameter& p : group.parameters) p.parameter->value.zero_grad();
  }
}

std::map<std::string, Tensor*> Optimizer::slots(const std::string& parameter) {
  const NamedParameter& known = named(parameter, "Optimizer::slots");
  ParameterState& state = states_[parameter];
  if (state.slots.empty()) state_of(known);
  std::map<std::string, Tensor*> result;
  const std::vector<std::string> kinds = slot_kinds();
  for (size_t i = 0; i < kinds.size(); ++i) result.emplace(kinds[i], &state.slots[i]);
  if (state.age.defined()) result.emplace(kAge, &state.age);
  return result;
}

void Optimizer::restart(const std::string& parameter) {
  states_.erase(named(parameter, "Optimizer::restart").name);
}

void Optimizer::clear_masked_state() {
  for (ParameterGroup& group : groups_) {
    for (NamedParameter& p : group.parameters) {
      const auto state = states_.find(p.name);
      if (!p.parameter->masked() || state == states_.end()) continue;
      const auto clear = [&](Tensor& slot) {
        dispatch_floating(slot.dtype(), "Optimizer::clear_masked_state", [&](auto zero) {
          using T = decltype(zero);
          map_into<T, T, uint8_t>(
              slot, slot, p.parameter->mask(), [](T x, uint8_t keep) { return keep ? x : T{0}; });
        });
      };
      count_entries(*p.parameter, state->second);
      for (Tensor& slot : state->second.slots) clear(slot);
      if (state->second.age.defined()) clear(state->second.age);
    }
  }
}

std::map<std::string, Tensor> Optimizer::state_dict() {
  const std::vector<std::string> kinds = slot_kinds();
  std::map<std::string, Tensor> result;
  for (const auto& [name, state] : states_) {
    result.emplace(cat(name, ".", kStep), Tensor::from<int64_t>({}, {state.step}));
    for (size_t i = 0; i < state.slots.size(); ++i) {
      result.emplace(cat(name, ".", kinds[i]), state.slots[i]);
    }
    if (state.age.defined()) result.emplace(cat(name, ".", kAge), state.age);
  }
  return result;
}

void Optimizer::load_state_dict(const std::map<std::string, Tensor>& state) {
  const std::vector<std::string> kinds = slot_kinds();
  std::map<std::string, ParameterState> loaded;
  std::set<std::string> known;
  std::string wrong;
  const auto complain = [&](const std::string& text) {
    wrong += (wrong.empty() ? "" : ", ") + text;
  };
  for (const ParameterGroup& group : groups_) {
    for (const NamedParameter& p : group.parameters) {
      const Tensor& value = p.parameter->value.value();
      ParameterState item;
      const auto take = [&](const std::string& kind) {
        const std::string name = p.name + "." + kind;
        const auto found = state.find(name);
        if (found == state.end()) return Tensor();
        known.insert(name);
        if (found->second.shape() != value.shape() || !is_floating(found->second.dtype())) {
          complain(cat(name, " (expected ", value, ", got ", found->second, ")"));
          return Tensor();
        }
        return found->second.to(Layout::Nchw).to(value.dtype()).clone();
      };
      for (const std::string& kind : kinds) {
        const Tensor slot = take(kind);
        if (slot.defined()) item.slots.push_back(slot);
      }
      if (counts_entries()) item.age = take(kAge);
      const std::string step_name = cat(p.name, ".", kStep);
      const auto step = state.find(step_name);
      if (step != state.end()) {
        known.insert(step_name);
        if (step->second.numel() == 1) {
          item.step = static_cast<int64_t>(step->second.item());
        } else {
          complain(cat(step_name, " (expected one number, got ", step->second, ")"));
        }
      }
      if (!item.slots.empty() && item.slots.size() != kinds.size()) {
        complain(p.name + " (not all of its tensors are there)");
      }
      if (step != state.end() || !item.slots.empty()) loaded.emplace(p.name, std::move(item));
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!known.contains(name)) complain(name + " (unknown)");
  }
  ESPALIER_CHECK(wrong.empty(),
                 ValueError,
                 "Optimizer::load_state_dict: the state is not of this optimizer and model: ",
                 wrong,
                 ". Nothing was changed");
  states_ = std::move(loaded);
}

double clip_grad_norm(const std::vector<NamedParameter>& parameters, double max_norm) {
  ESPALIER_CHECK(
      max_norm > 0.0, ValueError, "clip_grad_norm: expects max_norm > 0, got ", max_norm);
  double square_sum = 0.0;
  for (const NamedParameter& p : parameters) {
    if (!p.parameter->value.grad().defined()) continue;
    const Tensor gradient = p.parameter->value.grad().value().contiguous();
    dispatch_floating(gradient.dtype(), "clip_grad_norm", [&](auto zero) {
      const auto* g = gradient.data<decltype(zero)>();
      square_sum +=
          parallel_sum(gradient.physical_numel(), kGrain, [&](int64_t begin, int64_t end) {
            double sum = 0.0;
            for (int64_t i = begin; i < end; ++i) {
              sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
            }
            return sum;
          });
    });
  }
  const double norm = std::sqrt(square_sum);
  // The small number is in PyTorch's formula too: the result is a little below max_norm.
  const double scale = max_norm / (norm + 1e-6);
  if (!std::isfinite(norm) || scale >= 1.0) return norm;
  for (const NamedParameter& p : parameters) {
    if (!p.parameter->value.grad().defined()) continue;
    const Tensor& gradient = p.parameter->value.grad().value();
    // Into fresh memory: a gradient may share its tensor with another leaf's.
    Tensor scaled = Tensor::empty_like(gradient);
    dispatch_floating(gradient.dtype(), "clip_grad_norm", [&](auto zero) {
      using T = decltype(zero);
      map_into<T, T>(scaled, gradient, [s = static_cast<T>(scale)](T x) { return x * s; });
    });
    p.parameter->value.set_grad(Variable(scaled));
  }
  return norm;
}

}  // namespace espalier::nn
