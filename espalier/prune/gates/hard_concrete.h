// SPDX-License-Identifier: Apache-2.0
/// The hard concrete distribution: a gate z in [0, 1] that is exactly 0 or 1 with positive
/// probability and still has a gradient. Formulas only; pruners keep the gates.
///
/// Source: Louizos, Welling, Kingma, arXiv 1712.01312, equations 10 to 13.
#pragma once

namespace espalier::prune::hard_concrete {

inline constexpr double kBeta = 2.0 / 3.0;  ///< temperature
inline constexpr double kGamma = -0.1;      ///< lower end of the stretch
inline constexpr double kZeta = 1.1;        ///< upper end
/// Noise is drawn from (kEpsilon, 1 - kEpsilon).
inline constexpr double kEpsilon = 1e-6;
/// log alpha stays within +- log 100.
inline constexpr double kMostLogAlpha = 4.605170185988091;
/// The test-time gate is 0 exactly up to this log alpha, which is -log 11.
inline constexpr double kClosedLogAlpha = -2.3978952727983707;

/// A sampled gate and its derivative.
struct Sample {
  double z = 0.0;   ///< the gate
  double dz = 0.0;  ///< dz / d log alpha; 0 where z is clipped
};
/// s = sigmoid((log u - log(1-u) + log alpha) / beta); z = clip(s * (zeta - gamma) + gamma, 0, 1).
Sample sample(double log_alpha, double u);

/// P(z != 0) = sigmoid(log alpha - beta * log(-gamma / zeta)).
double probability_open(double log_alpha);
/// Its derivative, p * (1 - p).
double probability_open_slope(double log_alpha);
/// P(z = 1).
double probability_one(double log_alpha);

/// The gate without noise: clip(sigmoid(log alpha) * (zeta - gamma) + gamma, 0, 1). The temperature
/// does not enter.
double expected_gate(double log_alpha);

/// log alpha of gates that a Bernoulli mask would close with probability `drop_rate`.
double initial_log_alpha(double drop_rate);

}  // namespace espalier::prune::hard_concrete
