// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/prune/penalties/penalty.h>

namespace espalier::prune {
namespace {

/// w[i] = rule(i, w[i]) for every entry.
template <class Rule>
void rewrite(nn::Parameter& parameter, const Rule& rule) {
  Tensor& value = parameter.value.value();
  dispatch_floating(value.dtype(), "penalty", [&](auto zero) {
    using T = decltype(zero);
    T* w = value.data<T>();
    for (int64_t i = 0; i < value.numel(); ++i) {
      w[i] = static_cast<T>(rule(i, static_cast<double>(w[i])));
    }
  });
}

/// A number for every entry from its value and the norm of its group; 0 outside of groups.
template <class Rule>
std::vector<double> of_groups(const nn::Parameter& parameter,
                              const Units& groups,
                              const Rule& rule) {
  const std::vector<double> norms = group_norms(parameter, groups);
  std::vector<double> result = parameter.value.value().to_vector<double>();
  for (size_t i = 0; i < result.size(); ++i) {
    const int64_t group = groups.unit(static_cast<int64_t>(i));
    result[i] = group < 0 ? 0.0 : rule(result[i], norms[static_cast<size_t>(group)]);
  }
  return result;
}

}  // namespace

void add_to_gradient(nn::Parameter& parameter, std::span<const double> amounts) {
  if (!parameter.value.grad().defined()) return;
  const Tensor old = parameter.value.grad().value().to(Layout::Nchw).contiguous();
  const Tensor mask = parameter.mask();
  Tensor sum = Tensor::empty(old.shape(), old.dtype());
  dispatch_floating(old.dtype(), "penalty", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < old.numel(); ++i) {
      const bool gone = mask.defined() && mask.data<uint8_t>()[i] == 0;
      const double amount = gone ? 0.0 : amounts[static_cast<size_t>(i)];
      sum.data<T>()[i] = static_cast<T>(static_cast<double>(old.data<T>()[i]) + amount);
    }
  });
  parameter.value.set_grad(Variable(sum));
}

void add_l1_gradient(nn::Parameter& parameter, double strength) {
  std::vector<double> amounts = parameter.value.value().to_vector<double>();
  for (double& w : amounts) w = strength * static_cast<double>((w > 0.0) - (w < 0.0));
  add_to_gradient(parameter, amounts);
}

std::vector<double> group_norms(const nn::Parameter& parameter, const Units& groups) {
  const std::vector<double> values = parameter.value.value().to_vector<double>();
  std::vector<double> norms(static_cast<size_t>(groups.count), 0.0);
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t group = groups.unit(static_cast<int64_t>(i));
    if (group >= 0) norms[static_cast<size_t>(group)] += values[i] * values[i];
  }
  for (double& norm : norms) norm = std::sqrt(norm);
  return norms;
}

void add_group_lasso_gradient(nn::Parameter& parameter, const Units& groups, double strength) {
  add_to_gradient(parameter, of_groups(parameter, groups, [&](double w, double norm) {
                    return norm == 0.0 ? 0.0 : strength * w / norm;
                  }));
}

void shrink_groups(nn::Parameter& parameter, const Units& groups, double amount) {
  const std::vector<double> norms = group_norms(parameter, groups);
  rewrite(parameter, [&](int64_t i, double w) {
    const int64_t group = groups.unit(i);
    if (group < 0) return w;
    const double norm = norms[static_cast<size_t>(group)];
    return norm <= amount ? 0.0 : w * (1.0 - amount / norm);
  });
}

void cut_small(nn::Parameter& parameter, double threshold) {
  rewrite(parameter, [&](int64_t, double w) { return std::abs(w) < threshold ? 0.0 : w; });
}

}  // namespace espalier::prune
