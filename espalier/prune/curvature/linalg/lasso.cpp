// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/prune/curvature/linalg/lasso.h>
#include <espalier/prune/ground/select.h>

namespace espalier::prune {
namespace {

constexpr int kMostSweeps = 10'000;
constexpr double kSmallestMove = 1e-10;
constexpr int kBisections = 50;

double soft_threshold(double x, double by) {
  if (x > by) return x - by;
  if (x < -by) return x + by;
  return 0.0;
}

int64_t nonzeros(const std::vector<double>& b) {
  return static_cast<int64_t>(b.size()) - std::count(b.begin(), b.end(), 0.0);
}

}  // namespace

std::vector<double> lasso(const Tensor& gram,
                          std::span<const double> c,
                          double lambda,
                          std::vector<double> start) {
  const auto n = static_cast<int64_t>(c.size());
  ESPALIER_CHECK(gram.shape() == Shape({n, n}) && (start.empty() || start.size() == c.size()),
                 ShapeError,
                 "lasso: expects a gram matrix (",
                 n,
                 ",",
                 n,
                 ") and as many start values, got ",
                 gram.shape(),
                 " and ",
                 start.size());
  ESPALIER_CHECK(lambda >= 0.0, ValueError, "lasso: expects lambda >= 0, got ", lambda);
  std::vector<double> b = std::move(start);
  b.resize(c.size(), 0.0);
  const double* a = gram.data<double>();
  // c - gram b, kept up to date: a coordinate that stays costs one step, one that moves n of them.
  std::vector<double> rest(c.begin(), c.end());
  const auto take_off = [&](int64_t i, double by) {
    const double* row = a + i * n;  // of a symmetric matrix
    for (int64_t j = 0; j < n; ++j) rest[static_cast<size_t>(j)] -= row[j] * by;
  };
  for (int64_t i = 0; i < n; ++i) {
    if (b[static_cast<size_t>(i)] != 0.0) take_off(i, b[static_cast<size_t>(i)]);
  }
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    double move = 0.0;
    double largest = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      const double diagonal = a[i * n + i];
      if (diagonal <= 0.0) continue;
      const double next = soft_threshold(rest[at] + diagonal * b[at], lambda) / diagonal;
      const double step = next - b[at];
      move = std::max(move, std::abs(step));
      largest = std::max(largest, std::abs(next));
      if (step == 0.0) continue;
      take_off(i, step);
      b[at] = next;
    }
    if (move <= kSmallestMove * largest) break;
  }
  return b;
}

std::vector<uint8_t> lasso_support(const Tensor& gram, std::span<const double> c, int64_t count) {
  // At `above` no more than `count` coordinates are left, at `below` more.
  double above = 0.0;
  for (double value : c) above = std::max(above, std::abs(value));
  double below = 0.0;
  std::vector<double> many = lasso(gram, c, below);
  std::vector<double> few(c.size(), 0.0);
  if (nonzeros(many) <= count) few = many;
  for (int i = 0; i < kBisections && nonzeros(few) < count; ++i) {
    const double middle = 0.5 * (above + below);
    std::vector<double> b = lasso(gram, c, middle, many);
    if (nonzeros(b) <= count) {
      above = middle;
      few = std::move(b);
    } else {
      below = middle;
      many = std::move(b);
    }
  }
  std::vector<double> rank(c.size());
  for (size_t i = 0; i < rank.size(); ++i) {
    // Those that are left come before all others.
    rank[i] = few[i] != 0.0 ? 2.0 : std::abs(many[i]) / (1.0 + std::abs(many[i]));
  }
  return top_k(rank, {}, std::min(count, static_cast<int64_t>(c.size())));
}

}  // namespace espalier::prune
