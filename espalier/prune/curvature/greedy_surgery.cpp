// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <espalier/core/parallel.h>
#include <espalier/prune/curvature/linalg/cholesky.h>
#include <espalier/prune/curvature/linalg/surgeon.h>
#include <espalier/prune/curvature/surgery.h>
#include <espalier/prune/ground/select.h>

namespace espalier::prune {
namespace {

/// The work on one matrix: what every removal costs, the choice, and what stays.
class GreedyOperation {
 public:
  GreedyOperation(const Tensor& weight,
                  const Tensor& hessian,
                  const SurgeryOptions& options,
                  const Tensor& alive)
      : options_(options),
        rows_(weight.size(0)),
        columns_(weight.size(1)),
        weight_(weight.clone()),
        alive_(alive.defined() ? alive.contiguous() : Tensor::ones(weight.shape(), DType::U8)),
        hessian_(damped_hessian(hessian, options.damping, weight_)) {}

  Surgery run() {
    const std::vector<uint8_t> stays = choose(costs());
    double loss = 0.0;
    for (int64_t row = 0; row < rows_; ++row) {
      const auto first = static_cast<size_t>(row * columns_);
      loss += refit(row, std::span(stays).subspan(first, static_cast<size_t>(columns_)));
    }
    return {weight_, Tensor::from(weight_.shape(), stays), loss};
  }

 private:
  /// What is paid up to the removal of every weight, row by row.
  std::vector<double> costs() const {
    Tensor one = Tensor::zeros({columns_, columns_}, DType::F64);
    for (int64_t i = 0; i < columns_; ++i) one.data<double>()[i * (columns_ + 1)] = 1.0;
    const Tensor inverse = solve_positive(hessian_, one);
    std::vector<double> costs(static_cast<size_t>(rows_ * columns_));
    parallel_for(rows_, 1, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        const double* w = weight_.data<double>() + row * columns_;
        const uint8_t* there = alive_.data<uint8_t>() + row * columns_;
        std::vector<double> values(w, w + columns_);
        Tensor own = inverse.clone();
        for (int64_t q = 0; q < columns_; ++q) {
          if (there[q] == 0) remove_weight(own, values, q);  // it is zero: only the inverse changes
        }
        std::ranges::copy(
            removal_costs(
                own, std::move(values), {there, static_cast<size_t>(columns_)}, options_.cell),
            costs.begin() + row * columns_);
      }
    });
    return costs;
  }

  std::vector<uint8_t> choose(const std::vector<double>& costs) const {
    const std::vector<uint8_t> there = alive_.to_vector<uint8_t>();
    if (options_.cell.size > 0) {
      std::vector<uint8_t> stays;
      for (const double cost : costs) stays.push_back(std::isinf(cost) ? 1 : 0);
      return stays;
    }
    const auto size = static_cast<int64_t>(costs.size());
    const int64_t living = std::ranges::count(there, uint8_t{1});
    const int64_t kept = std::max(kept_count(size, options_.sparsity), options_.at_least);
    return top_k(costs, there, std::min(kept, living));
  }

  /// Gives what stays of a row its best values: H_SS (v - w)_S = (H w)_S of what goes. Returns ½
  /// (v - w)ᵀ H (v - w).
  double refit(int64_t row, std::span<const uint8_t> stays) {
    double* w = weight_.data<double>() + row * columns_;
    const double* h = hessian_.data<double>();
    std::vector<int64_t> stay;
    std::vector<int64_t> goes;
    for (int64_t i = 0; i < columns_; ++i) {
      if (stays[static_cast<size_t>(i)] != 0) stay.push_back(i);
      if (stays[static_cast<size_t>(i)] == 0 && w[i] != 0.0) goes.push_back(i);
    }
    const auto n = static_cast<int64_t>(stay.size());
    Tensor change;
    if (n > 0 && !goes.empty()) {
      Tensor inner = Tensor::empty({n, n}, DType::F64);
      Tensor right = Tensor::zeros({n, 1}, DType::F64);
      for (int64_t i = 0; i < n; ++i) {
        const double* of = h + stay[static_cast<size_t>(i)] * columns_;
        for (int64_t j = 0; j < n; ++j) {
          inner.data<double>()[i * n + j] = of[stay[static_cast<size_t>(j)]];
        }
        for (const int64_t q : goes) right.data<double>()[i] += of[q] * w[q];
      }
      change = solve_positive(inner, right);
    }
    std::vector<double> delta(static_cast<size_t>(columns_), 0.0);
    for (const int64_t q : goes) delta[static_cast<size_t>(q)] = -w[q];
    for (int64_t i = 0; change.defined() && i < n; ++i) {
      delta[static_cast<size_t>(stay[static_cast<size_t>(i)])] = change.data<double>()[i];
    }
    double loss = 0.0;
    for (int64_t i = 0; i < columns_; ++i) {
      double product = 0.0;
      for (int64_t j = 0; j < columns_; ++j) {
        product += h[i * columns_ + j] * delta[static_cast<size_t>(j)];
      }
      loss += 0.5 * delta[static_cast<size_t>(i)] * product;
    }
    for (int64_t i = 0; i < columns_; ++i) {
      w[i] = stays[static_cast<size_t>(i)] != 0 ? w[i] + delta[static_cast<size_t>(i)] : 0.0;
    }
    return loss;
  }

  SurgeryOptions options_;
  int64_t rows_;
  int64_t columns_;
  Tensor weight_;
  Tensor alive_;
  Tensor hessian_;  // damped; set after weight_, of which it clears columns
};

}  // namespace

Surgery prune_greedily(const Tensor& weight,
                       const Tensor& hessian,
                       const SurgeryOptions& options,
                       const Tensor& alive) {
  check_surgery("prune_greedily", weight, hessian, options, {&alive});
  return GreedyOperation(weight, hessian, options, alive).run();
}

}  // namespace espalier::prune
