// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/comparisons/statistics.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <espalier/core/error.h>

namespace espalier::experiments::comparisons {
namespace {

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(
      order.begin(), order.end(), [&](size_t i, size_t j) { return values[i] < values[j]; });
  std::vector<double> out(values.size());
  for (size_t first = 0; first < order.size();) {
    size_t end = first + 1;
    while (end < order.size() && values[order[end]] == values[order[first]]) ++end;
    const double rank = 0.5 * static_cast<double>(first + end - 1);
    for (size_t i = first; i < end; ++i) out[order[i]] = rank;
    first = end;
  }
  return out;
}

}  // namespace

std::optional<double> Summary::ratio() const {
  if (!standard_error) return std::nullopt;
  if (*standard_error > 0.0) return mean / *standard_error;
  if (mean == 0.0) return 0.0;
  return std::copysign(std::numeric_limits<double>::infinity(), mean);
}

Summary summarize(const std::vector<double>& values) {
  ESPALIER_CHECK(!values.empty(), ValueError, "summarize: expects values, got none");
  const auto n = static_cast<double>(values.size());
  Summary out{.count = static_cast<int64_t>(values.size()),
              .mean = std::accumulate(values.begin(), values.end(), 0.0) / n,
              .deviation = std::nullopt,
              .standard_error = std::nullopt};
  if (values.size() < 2) return out;
  double squares = 0.0;
  for (const double value : values) squares += (value - out.mean) * (value - out.mean);
  out.deviation = std::sqrt(squares / (n - 1.0));
  out.standard_error = *out.deviation / std::sqrt(n);
  return out;
}

double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  ESPALIER_CHECK(a.size() == b.size() && a.size() >= 2,
                 ValueError,
                 "rank_correlation: expects two lists of the same size, at least 2, got ",
                 a.size(),
                 " and ",
                 b.size());
  const std::vector<double> x = ranks(a);
  const std::vector<double> y = ranks(b);
  const double middle = 0.5 * static_cast<double>(a.size() - 1);
  double xx = 0.0;
  double yy = 0.0;
  double xy = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - middle) * (x[i] - middle);
    yy += (y[i] - middle) * (y[i] - middle);
    xy += (x[i] - middle) * (y[i] - middle);
  }
  return xx == 0.0 || yy == 0.0 ? 0.0 : xy / std::sqrt(xx * yy);
}

}  // namespace espalier::experiments::comparisons
