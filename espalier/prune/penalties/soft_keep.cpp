// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/penalties/soft_keep.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <espalier/core/error.h>

namespace espalier::prune {
namespace {

constexpr double kLeast = 1e-8;         // importance: its logarithm is taken
constexpr double kMostExponent = 20.0;  // of the published code
constexpr int kBisections = 100;

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

/// log(p (1 - p)) of p = sigmoid(x).
double log_slope(double x) {
  return -std::abs(x) - 2.0 * std::log1p(std::exp(-std::abs(x)));
}

}  // namespace

SoftKeep soft_keep(std::span<const double> importance, double alpha, double sharpness) {
  ESPALIER_CHECK(alpha > 0.0 && alpha < 1.0 && sharpness > 0.0,
                 ValueError,
                 "soft_keep: expects 0 < alpha < 1 and a sharpness above 0, got ",
                 alpha,
                 " and ",
                 sharpness);
  std::vector<double> logs;
  for (const double one : importance) {
    ESPALIER_CHECK(one >= 0.0, ValueError, "soft_keep: an importance of ", one);
    logs.push_back(std::log(std::max(one, kLeast)));
  }
  if (logs.empty()) return {};
  const auto channels = static_cast<double>(logs.size());
  const auto open = [&](double log, double threshold) {
    return sigmoid(std::clamp(sharpness * (log - threshold), -kMostExponent, kMostExponent));
  };
  // The mean falls with the threshold log beta1.
  const auto [least, most] = std::ranges::minmax(logs);
  double low = least - 2.0 * kMostExponent / sharpness;
  double high = most + 2.0 * kMostExponent / sharpness;
  for (int i = 0; i < kBisections; ++i) {
    const double middle = 0.5 * (low + high);
    double mean = 0.0;
    for (const double log : logs) mean += open(log, middle) / channels;
    (mean > alpha ? low : high) = middle;
  }
  const double threshold = 0.5 * (low + high);
  SoftKeep result;
  double largest = -std::numeric_limits<double>::infinity();
  for (const double log : logs) {
    result.open.push_back(open(log, threshold));
    result.slope.push_back(log_slope(sharpness * (log - threshold)));
    largest = std::max(largest, result.slope.back());
  }
  // As a softmax: far from the threshold every p (1 - p) is nearly nothing.
  double sum = 0.0;
  for (double& slope : result.slope) sum += slope = std::exp(slope - largest);
  for (double& slope : result.slope) slope *= channels / sum;
  return result;
}

}  // namespace espalier::prune
