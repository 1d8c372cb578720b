// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/step_gates.h>

#include <espalier/prune/sites/unit_gates.h>

namespace espalier::prune {
namespace {

/// Sets entries to 0 where the unit's gate is closed.
void gate(Tensor& entries, const SitePart& part, const std::vector<uint8_t>& open) {
  dispatch_floating(entries.dtype(), "gates", [&](auto zero) {
    using T = decltype(zero);
    T* x = entries.data<T>();
    for (int64_t i = 0; i < entries.numel(); ++i) {
      const int64_t unit = part.units.unit(i);
      if (unit >= 0 && open[static_cast<size_t>(unit)] == 0) x[i] = T(0);
    }
  });
}

}  // namespace

StepGates::StepGates(std::span<const Site> sites) {
  for (size_t s = 0; s < sites.size(); ++s) {
    units_.push_back(sites[s].units);
    for (const SitePart& part : sites[s].parts) {
      if (is_gated(sites[s], part)) members_.push_back({part.parameter, s, &part});
    }
  }
}

void StepGates::close(std::span<const std::vector<uint8_t>> open) {
  open_.assign(open.begin(), open.end());
  values_.clear();
  for (const Member& member : members_) {
    Tensor& value = member.parameter->value.value();
    values_.try_emplace(member.parameter, value.clone());
    gate(value, *member.part, open_[member.site]);
  }
}

std::vector<std::vector<double>> StepGates::reopen() {
  std::vector<std::vector<double>> slopes;
  for (const int64_t units : units_) slopes.emplace_back(static_cast<size_t>(units), 0.0);
  std::map<nn::Parameter*, Tensor> gradients;
  for (auto& [parameter, value] : values_) {
    parameter->value.value().copy_(value);
    if (!parameter->value.grad().defined()) continue;
    gradients[parameter] = parameter->value.grad().value().contiguous().clone();
  }
  for (const Member& member : members_) {
    const auto found = gradients.find(member.parameter);
    if (found == gradients.end()) continue;
    std::vector<double>& of_site = slopes[member.site];
    dispatch_floating(found->second.dtype(), "gates", [&](auto zero) {
      using T = decltype(zero);
      const T* w = values_.at(member.parameter).data<T>();
      const T* g = found->second.data<T>();
      for (int64_t i = 0; i < found->second.numel(); ++i) {
        const int64_t unit = member.part->units.unit(i);
        if (unit < 0) continue;
        of_site[static_cast<size_t>(unit)] += static_cast<double>(w[i]) * static_cast<double>(g[i]);
      }
    });
  }
  for (const Member& member : members_) {
    const auto found = gradients.find(member.parameter);
    if (found != gradients.end()) gate(found->second, *member.part, open_[member.site]);
  }
  for (auto& [parameter, gradient] : gradients) parameter->value.set_grad(Variable(gradient));
  values_.clear();
  return slopes;
}

}  // namespace espalier::prune
