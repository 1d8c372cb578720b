// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/prune/gates/hard_concrete.h>

namespace espalier::prune::hard_concrete {
namespace {

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

double logit(double x) {
  return std::log(x) - std::log1p(-x);
}

/// P(stretched gate <= x).
double distribution(double x, double log_alpha) {
  return sigmoid(kBeta * logit((x - kGamma) / (kZeta - kGamma)) - log_alpha);
}

}  // namespace

Sample sample(double log_alpha, double u) {
  const double s = sigmoid((logit(u) + log_alpha) / kBeta);
  const double stretched = s * (kZeta - kGamma) + kGamma;
  if (stretched <= 0.0) return {.z = 0.0, .dz = 0.0};
  if (stretched >= 1.0) return {.z = 1.0, .dz = 0.0};
  return {.z = stretched, .dz = (kZeta - kGamma) * s * (1.0 - s) / kBeta};
}

double probability_open(double log_alpha) {
  return 1.0 - distribution(0.0, log_alpha);
}

double probability_open_slope(double log_alpha) {
  const double p = probability_open(log_alpha);
  return p * (1.0 - p);
}

double probability_one(double log_alpha) {
  return 1.0 - distribution(1.0, log_alpha);
}

double expected_gate(double log_alpha) {
  return std::clamp(sigmoid(log_alpha) * (kZeta - kGamma) + kGamma, 0.0, 1.0);
}

double initial_log_alpha(double drop_rate) {
  return std::log(1.0 - drop_rate) - std::log(drop_rate);
}

}  // namespace espalier::prune::hard_concrete
