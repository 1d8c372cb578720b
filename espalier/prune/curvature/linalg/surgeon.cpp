// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/linalg/surgeon.h>

#include <cmath>
#include <limits>

namespace espalier::prune {

double saliency(const Tensor& inverse, std::span<const double> weights, int64_t q) {
  const double diagonal = inverse.data<double>()[q * inverse.size(0) + q];
  ESPALIER_CHECK(diagonal > 0.0,
                 ValueError,
                 "surgeon: entry ",
                 q,
                 " of the inverse's diagonal is ",
                 diagonal,
                 "; expected a positive number. More damping helps");
  const double w = weights[static_cast<size_t>(q)];
  return w * w / (2.0 * diagonal);
}

double remove_weight(Tensor& inverse, std::span<double> weights, int64_t q) {
  const double cost = saliency(inverse, weights, q);
  const int64_t n = inverse.size(0);
  double* h = inverse.data<double>();
  const std::vector<double> row(h + q * n, h + (q + 1) * n);
  const double diagonal = row[static_cast<size_t>(q)];
  const double factor = weights[static_cast<size_t>(q)] / diagonal;
  const double share = 1.0 / diagonal;
  const double* r = row.data();
  for (int64_t i = 0; i < n; ++i) {
    weights[static_cast<size_t>(i)] -= factor * r[i];
    for (int64_t j = 0; j < n; ++j) h[i * n + j] -= r[i] * r[j] * share;
  }
  weights[static_cast<size_t>(q)] = 0.0;  // exactly
  for (int64_t i = 0; i < n; ++i) h[q * n + i] = h[i * n + q] = 0.0;
  return cost;
}

std::vector<double> removal_costs(Tensor inverse,
                                  std::vector<double> weights,
                                  std::span<const uint8_t> alive) {
  std::vector<double> costs(weights.size(), 0.0);
  std::vector<int64_t> left;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (alive[i] != 0) left.push_back(static_cast<int64_t>(i));
  }
  double paid = 0.0;
  while (!left.empty()) {
    size_t next = 0;
    double lowest = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < left.size(); ++i) {
      const double cost = saliency(inverse, weights, left[i]);
      if (cost <= lowest) next = i;
      lowest = std::min(lowest, cost);
    }
    const int64_t q = left[next];
    paid = std::max(remove_weight(inverse, weights, q),
                    std::nextafter(paid, std::numeric_limits<double>::infinity()));
    costs[static_cast<size_t>(q)] = paid;
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(next));
  }
  return costs;
}

}  // namespace espalier::prune
