// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/penalties/lp_box.h>

#include <algorithm>
#include <cmath>

#include <espalier/core/error.h>

namespace espalier::prune {

std::vector<double> onto_box_with_sum(std::span<const double> a, double sum) {
  ESPALIER_CHECK(sum >= 0.0 && sum <= static_cast<double>(a.size()),
                 ValueError,
                 "lp-box: ",
                 a.size(),
                 " numbers in 0 .. 1 never sum to ",
                 sum);
  std::vector<double> z(a.begin(), a.end());
  if (a.empty()) return z;
  const auto clipped_sum = [&](double tau) {
    double total = 0.0;
    for (const double x : a) total += std::clamp(x - tau, 0.0, 1.0);
    return total;
  };
  // The sum falls from n to 0 in between, and is linear between the places where an entry leaves or
  // reaches the box.
  std::vector<double> knots;
  for (const double x : a) {
    knots.push_back(x - 1.0);
    knots.push_back(x);
  }
  std::ranges::sort(knots);
  const auto after =
      std::ranges::partition_point(knots, [&](double tau) { return clipped_sum(tau) > sum; });
  double tau = after == knots.end() ? knots.back() : *after;
  if (after != knots.begin() && after != knots.end()) {
    const double low = *std::prev(after);
    const double from = clipped_sum(low);
    const double to = clipped_sum(*after);
    if (from > to) tau = low + (*after - low) * (from - sum) / (from - to);
  }
  for (double& x : z) x = std::clamp(x - tau, 0.0, 1.0);
  return z;
}

std::vector<double> onto_sphere(std::span<const double> a) {
  double squares = 0.0;
  for (const double x : a) squares += (x - 0.5) * (x - 0.5);
  std::vector<double> z(a.size(), 1.0);
  if (squares == 0.0) return z;
  const double scale = 0.5 * std::sqrt(static_cast<double>(a.size()) / squares);
  for (size_t i = 0; i < z.size(); ++i) z[i] = 0.5 + (a[i] - 0.5) * scale;
  return z;
}

void make_step(LpBox& state, std::span<const double> of_loss, const LpBoxStep& step) {
  auto& [v, y1, y2] = state;
  std::vector<double> z1 = v;
  std::vector<double> z2 = v;
  for (size_t i = 0; i < v.size(); ++i) {
    z1[i] += y1[i] / step.rho;
    z2[i] += y2[i] / step.rho;
  }
  z1 = onto_box_with_sum(z1, step.sum);
  z2 = onto_sphere(z2);
  for (size_t i = 0; i < v.size(); ++i) {
    const double of_constraints = y1[i] + y2[i] + step.rho * (2.0 * v[i] - z1[i] - z2[i]);
    v[i] -= step.rate * (step.share * of_constraints + (1.0 - step.share) * of_loss[i]);
    y1[i] += step.rho * (v[i] - z1[i]);
    y2[i] += step.rho * (v[i] - z2[i]);
  }
}

}  // namespace espalier::prune
