// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/muon.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <espalier/core/arithmetic.h>
#include <espalier/core/kernels/gemm.h>
#include <espalier/core/kernels/reduce.h>
#include <espalier/core/loops.h>
#include <espalier/nn/train/detail/update_arrays.h>
#include <espalier/nn/train/parameter_groups.h>

namespace espalier::nn {
namespace {

// The quintic of the iteration, and what keeps it from dividing by zero.
constexpr double kLinear = 3.4445;
constexpr double kCubic = -4.7750;
constexpr double kQuintic = 2.0315;
constexpr double kEps = 1e-7;

double frobenius_norm(const Tensor& a) {
  const std::vector<bool> all(static_cast<size_t>(a.rank()), true);
  return std::sqrt(reduce_sum(a * a, all, false).item());
}

Tensor product(const Tensor& a, const Tensor& b) {
  Tensor out = Tensor::empty({a.size(0), b.size(1)}, a.dtype());
  gemm(a, b, out);
  return out;
}

std::unique_ptr<Optimizer> rule_of(const std::variant<AdamOptions, SgdOptions>& options) {
  if (const auto* adam = std::get_if<AdamOptions>(&options)) {
    return std::make_unique<Adam>(std::vector<ParameterGroup>(), *adam);
  }
  return std::make_unique<Sgd>(std::vector<ParameterGroup>(), std::get<SgdOptions>(options));
}

double scale_of(MuonScale scale, double rows, double columns) {
  switch (scale) {
    case MuonScale::Original:
      return std::sqrt(std::max(1.0, rows / columns));
    case MuonScale::MatchAdam:
      return 0.2 * std::sqrt(std::max(rows, columns));
    case MuonScale::None:
      return 1.0;
  }
  throw ValueError("Muon: unknown scale");
}

}  // namespace

Tensor orthogonalized(const Tensor& matrix, int64_t iterations) {
  ESPALIER_CHECK(
      matrix.rank() == 2, ShapeError, "orthogonalized: expects a matrix (M,N), got ", matrix);
  const Tensor plain = matrix.to(Layout::Nchw);
  const bool tall = plain.size(0) > plain.size(1);
  Tensor x = (tall ? plain.transpose(0, 1) : plain) / std::max(frobenius_norm(plain), kEps);
  for (int64_t i = 0; i < iterations; ++i) {
    const Tensor a = product(x, x.transpose(0, 1));
    x = x * kLinear + product(a * kCubic + product(a, a) * kQuintic, x);
  }
  return tall ? x.transpose(0, 1).contiguous() : x;
}

Muon::Muon(std::vector<ParameterGroup> groups, const MuonOptions& options)
    : Optimizer(std::move(groups), options.lr), options_(options), rest_(rule_of(options.rest)) {
  ESPALIER_CHECK(options.lr > 0.0, ValueError, "Muon: expects lr > 0, got ", options.lr);
  ESPALIER_CHECK(options.momentum >= 0.0 && options.momentum < 1.0,
                 ValueError,
                 "Muon: expects 0 <= momentum < 1, got ",
                 options.momentum);
  ESPALIER_CHECK(options.iterations >= 1,
                 ValueError,
                 "Muon: expects iterations >= 1, got ",
                 options.iterations);
  rest_ratio_ = rest_->lr() / options.lr;
  for (const std::string& pattern : options.rest_names) {
    const size_t before = rest_names_.size();
    for (const ParameterGroup& group : this->groups()) {
      for (const NamedParameter& p : group.parameters) {
        if (fits_pattern(p.name, pattern)) rest_names_.insert(p.name);
      }
    }
    ESPALIER_CHECK(rest_names_.size() > before,
                   ValueError,
                   "Muon: the pattern '",
                   pattern,
                   "' fits no parameter that is not named already");
  }
}

Muon::Muon(Module& model, const MuonOptions& options, double weight_decay)
    : Muon(parameter_groups(model, weight_decay), options) {}

bool Muon::is_rest(const NamedParameter& parameter) const {
  return parameter.parameter->shape().rank() < 2 || rest_names_.contains(parameter.name);
}

std::vector<std::string> Muon::slot_kinds(const NamedParameter& parameter) const {
  if (is_rest(parameter)) return rest_->slot_kinds(parameter);
  return {"momentum_buffer"};
}

bool Muon::counts_entries(const NamedParameter& parameter) const {
  return is_rest(parameter) && rest_->counts_entries(parameter);
}

void Muon::update(NamedParameter& parameter, ParameterState& state, double lr, double decay) {
  if (is_rest(parameter)) return rest_->update(parameter, state, lr * rest_ratio_, decay);
  const Tensor gradient = detail::live_gradient(*parameter.parameter);
  Tensor& value = parameter.parameter->value.value();
  if (value.numel() == 0) return;
  Tensor& buffer = state.slots[0];
  Tensor direction = Tensor::empty_like(gradient);
  dispatch_floating(value.dtype(), "Muon", [&](auto zero) {
    using T = decltype(zero);
    const T momentum = static_cast<T>(options_.momentum);
    map_into<T, T, T>(buffer, buffer, gradient, [=](T b, T g) { return momentum * b + g; });
    if (!options_.nesterov) return direction.copy_(buffer);
    map_into<T, T, T>(direction, gradient, buffer, [=](T g, T b) { return g + momentum * b; });
  });
  const int64_t rows = value.size(0);
  const int64_t columns = value.numel() / rows;
  Tensor update =
      orthogonalized(state.dense(direction).reshape({rows, columns}), options_.iterations)
          .reshape(value.shape());
  if (state.support) update = state.dense(sparse::kept_values(update, *state.support));
  double shrink = 1.0 - lr * decay;
  if (options_.normalize_weights) {
    const double norm = frobenius_norm(value);
    if (norm > 0.0) shrink *= std::sqrt(static_cast<double>(rows)) / norm;
  }
  const double rate =
      lr * scale_of(options_.scale, static_cast<double>(rows), static_cast<double>(columns));
  dispatch_floating(value.dtype(), "Muon", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(
        value, value, update, [k = static_cast<T>(shrink), r = static_cast<T>(rate)](T w, T u) {
          return k * w - r * u;
        });
  });
}

}  // namespace espalier::nn
