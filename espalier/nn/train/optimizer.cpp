// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <set>

#include <espalier/autograd/kept_gradient.h>
#include <espalier/core/detail/printable.h>
#include <espalier/core/loops.h>
#include <espalier/nn/train/optimizer.h>
#include <espalier/sparse/kept_values.h>

namespace espalier::nn {

namespace {

constexpr int64_t kGrain = 16384;
constexpr const char* kStep = "step";
constexpr const char* kAge = "age";

std::string kinds_of(const std::map<std::string, Tensor>& slots) {
  std::string text;
  for (const auto& [kind, slot] : slots) text += (text.empty() ? "" : ", ") + kind;
  return text;
}

}  // namespace

std::vector<ParameterGroup> parameter_groups(Module& model,
                                             double weight_decay,
                                             bool decay_norm_and_bias) {
  ParameterGroup decayed{.weight_decay = weight_decay};
  ParameterGroup plain;
  for (const NamedParameter& p : model.named_parameters()) {
    const bool decay = decay_norm_and_bias || p.parameter->shape().rank() >= 2;
    (decay ? decayed : plain).parameters.push_back(p);
  }
  std::vector<ParameterGroup> groups;
  groups.push_back(std::move(decayed));
  if (!plain.parameters.empty()) groups.push_back(std::move(plain));
  return groups;
}

Optimizer::Optimizer(std::vector<ParameterGroup> groups, double lr) : groups_(std::move(groups)) {
  set_lr(lr);
  check_names();
}

void Optimizer::check_names() const {
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

Tensor Optimizer::ParameterState::dense(const Tensor& part) const {
  return support ? sparse::dense_from_kept(part, *support) : part;
}

void Optimizer::ParameterState::follow(const std::shared_ptr<const sparse::Support>& other) {
  if (support == other) return;
  const auto convert = [&](Tensor& part) {
    part = other ? sparse::kept_values(dense(part), *other) : dense(part);
  };
  for (Tensor& slot : slots) convert(slot);
  if (age.defined()) convert(age);
  support = other;
}

Optimizer::ParameterState& Optimizer::state_of(const NamedParameter& parameter) {
  ParameterState& state = states_[parameter.name];
  const Tensor& value = parameter.parameter->value.value();
  const auto& support = parameter.parameter->support;
  const auto empty = [&] {
    return support ? Tensor::zeros({support->nnz()}, value.dtype()) : Tensor::zeros_like(value);
  };
  const size_t kinds = slot_kinds(parameter).size();
  if (state.slots.size() != kinds) {
    state.slots.assign(kinds, Tensor());
    for (Tensor& slot : state.slots) slot = empty();
    state.age = Tensor();
    state.support = support;
  }
  const auto check = [&](const Tensor& part) {
    const Shape& shape = state.support ? state.support->shape() : part.shape();
    ESPALIER_CHECK(shape == value.shape() && part.dtype() == value.dtype(),
                   ShapeError,
                   "Optimizer: the state of '",
                   parameter.name,
                   "' is of ",
                   name(part.dtype()),
                   " ",
                   shape,
                   " but the parameter is ",
                   value,
                   "; after changing a parameter's shape, set_slots() too");
  };
  for (const Tensor& slot : state.slots) check(slot);
  if (state.age.defined()) check(state.age);
  if (counts_entries(parameter) && support && !state.age.defined()) {
    // Until now all entries were there from the start; masked ones lose their age as all their
    // state.
    state.age = state.support ? Tensor::zeros({state.support->nnz()}, value.dtype())
                              : Tensor::zeros_like(value);
    state.age.fill_(static_cast<double>(state.step));
  }
  state.follow(support);
  return state;
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
      const bool fits = kept_values_of(gradient, p.parameter->support.get()) != nullptr ||
                        (gradient.shape() == value.shape() && gradient.dtype() == value.dtype());
      ESPALIER_CHECK(fits,
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
      ++state.step;
      const double decay = p.parameter->decays ? group.weight_decay : 0.0;
      update(p, state, lr_ * group.lr_scale, decay);
    }
  }
}

void Optimizer::zero_grad() {
  for (ParameterGroup& group : groups_) {
    for (NamedParameter& p : group.parameters) p.parameter->value.zero_grad();
  }
}

std::map<std::string, Tensor> Optimizer::slots(const std::string& parameter) const {
  const NamedParameter& of = named(parameter, "Optimizer::slots");
  const Tensor& value = of.parameter->value.value();
  const auto state = states_.find(parameter);
  const std::vector<std::string> kinds = slot_kinds(of);
  std::map<std::string, Tensor> result;
  for (size_t i = 0; i < kinds.size(); ++i) {
    const bool exists = state != states_.end() && !state->second.slots.empty();
    result.emplace(
        kinds[i],
        exists ? state->second.dense(state->second.slots[i]).clone() : Tensor::zeros_like(value));
  }
  if (state != states_.end() && state->second.age.defined()) {
    result.emplace(kAge, state->second.dense(state->second.age).clone());
  }
  return result;
}

void Optimizer::set_slots(const std::string& parameter,
                          const std::map<std::string, Tensor>& slots) {
  const NamedParameter& of = named(parameter, "Optimizer::set_slots");
  const Tensor& value = of.parameter->value.value();
  const std::map<std::string, Tensor> old = this->slots(parameter);
  ESPALIER_CHECK(kinds_of(slots) == kinds_of(old),
                 ValueError,
                 "Optimizer::set_slots: expects ",
                 kinds_of(old),
                 " for '",
                 parameter,
                 "', got ",
                 kinds_of(slots));
  for (const auto& [kind, slot] : slots) {
    ESPALIER_CHECK(slot.shape() == value.shape() && slot.dtype() == value.dtype(),
                   ShapeError,
                   "Optimizer::set_slots: expects ",
                   value,
                   " for the ",
                   kind,
                   " of '",
                   parameter,
                   "', got ",
                   slot);
  }
  ParameterState& state = states_[parameter];
  state.support = nullptr;
  state.slots.clear();
  for (const std::string& kind : slot_kinds(of)) state.slots.push_back(slots.at(kind).clone());
  if (slots.contains(kAge)) state.age = slots.at(kAge).clone();
}

void Optimizer::restart(const std::string& parameter) {
  states_.erase(named(parameter, "Optimizer::restart").name);
}

void Optimizer::add(const std::vector<NamedParameter>& parameters) {
  std::vector<ParameterGroup> before = groups_;
  if (groups_.empty()) groups_.emplace_back();
  auto& first = groups_.front().parameters;
  first.insert(first.end(), parameters.begin(), parameters.end());
  try {
    check_names();
  } catch (...) {
    groups_ = std::move(before);
    throw;
  }
}

void Optimizer::forget_missing(Module& model) {
  std::map<std::string, const Parameter*> present;
  for (const NamedParameter& p : model.named_parameters()) present[p.name] = p.parameter;
  for (ParameterGroup& group : groups_) {
    std::erase_if(group.parameters, [&](const NamedParameter& p) {
      const auto found = present.find(p.name);
      const bool missing = found == present.end() || found->second != p.parameter;
      if (missing) states_.erase(p.name);
      return missing;
    });
  }
}

void Optimizer::clear_masked_state() {
  for (ParameterGroup& group : groups_) {
    for (NamedParameter& p : group.parameters) {
      if (p.parameter->masked() && states_.contains(p.name)) state_of(p);
    }
  }
}

std::map<std::string, Tensor> Optimizer::state_dict() const {
  std::map<std::string, Tensor> result;
  for (const auto& [name, state] : states_) {
    const std::vector<std::string> kinds = slot_kinds(named(name, "Optimizer::state_dict"));
    result.emplace(cat(name, ".", kStep), Tensor::from<int64_t>({}, {state.step}));
    for (size_t i = 0; i < state.slots.size(); ++i) {
      result.emplace(cat(name, ".", kinds[i]), state.dense(state.slots[i]));
    }
    if (state.age.defined()) result.emplace(cat(name, ".", kAge), state.dense(state.age));
  }
  return result;
}

void Optimizer::load_state_dict(const std::map<std::string, Tensor>& state) {
  std::map<std::string, ParameterState> loaded;
  std::set<std::string> known;
  std::vector<std::string> wrong;
  const auto complain = [&](std::string text) { wrong.push_back(std::move(text)); };
  for (const ParameterGroup& group : groups_) {
    for (const NamedParameter& p : group.parameters) {
      const Tensor& value = p.parameter->value.value();
      const std::vector<std::string> kinds = slot_kinds(p);
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
      if (counts_entries(p)) item.age = take(kAge);
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
                 espalier::detail::some_of(wrong),
                 ". Nothing was changed");
  states_ = std::move(loaded);
}

namespace {

double square_sum(const Tensor& gradient) {
  double total = 0.0;
  dispatch_floating(gradient.dtype(), "clip_grad_norm", [&](auto zero) {
    const auto* g = gradient.data<decltype(zero)>();
    total = parallel_sum(gradient.physical_numel(), kGrain, [&](int64_t begin, int64_t end) {
      double sum = 0.0;
      for (int64_t i = begin; i < end; ++i) {
        sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
      }
      return sum;
    });
  });
  return total;
}

// Into fresh memory: a gradient may share its tensor with another leaf's.
Tensor times(const Tensor& gradient, double factor) {
  Tensor scaled = Tensor::empty_like(gradient);
  dispatch_floating(gradient.dtype(), "clip_grad_norm", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T>(scaled, gradient, [s = static_cast<T>(factor)](T x) { return x * s; });
  });
  return scaled;
}

}  // namespace

double clip_grad_norm(const std::vector<NamedParameter>& parameters, double max_norm) {
  ESPALIER_CHECK(
      max_norm > 0.0, ValueError, "clip_grad_norm: expects max_norm > 0, got ", max_norm);
  double total = 0.0;
  for (const NamedParameter& p : parameters) {
    const Variable& gradient = p.parameter->value.grad();
    if (!gradient.defined()) continue;
    const Tensor* kept = kept_values_of(gradient, p.parameter->support.get());
    total += square_sum(kept != nullptr ? *kept : gradient.value().contiguous());
  }
  const double norm = std::sqrt(total);
  // The small number is in PyTorch's formula too: the result is a little below max_norm.
  const double scale = max_norm / (norm + 1e-6);
  if (!std::isfinite(norm) || scale >= 1.0) return norm;
  for (const NamedParameter& p : parameters) {
    const Variable& gradient = p.parameter->value.grad();
    if (!gradient.defined()) continue;
    const auto& support = p.parameter->support;
    const Tensor* kept = kept_values_of(gradient, support.get());
    p.parameter->value.set_grad(kept != nullptr ? kept_gradient(times(*kept, scale), support)
                                                : Variable(times(gradient.value(), scale)));
  }
  return norm;
}

}  // namespace espalier::nn
