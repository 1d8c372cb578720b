// SPDX-License-Identifier: Apache-2.0
/// Projections that together leave vectors of zeros and ones: {0,1}^n is where the box [0,1]^n and
/// the sphere around 1/2 with radius sqrt(n)/2 meet.
///
/// Source: Li, Wu, Yang, Fan, Zhang, Liu, CVPR 2019, and its published code.
#pragma once

#include <span>
#include <vector>

namespace espalier::prune {

/// The nearest point with entries in 0 .. 1 that sum to `sum`: clip(a - tau, 0, 1). Throws
/// ValueError for a sum that no such point has.
std::vector<double> onto_box_with_sum(std::span<const double> a, double sum);

/// The nearest point of the sphere: 1/2 + (a - 1/2) sqrt(n) / (2 ||a - 1/2||); of the centre, from
/// which all are equally far, all ones.
std::vector<double> onto_sphere(std::span<const double> a);

/// Numbers on their way to 0 and 1, and the dual variables of box and sphere, all of one size.
struct LpBox {
  std::vector<double> numbers;    ///< v
  std::vector<double> of_box;     ///< y1
  std::vector<double> of_sphere;  ///< y2
};
/// How a step is made.
struct LpBoxStep {
  double sum = 0.0;    ///< of the numbers
  double rate = 0.0;   ///< of the descent
  double rho = 0.0;    ///< of the augmented Lagrangian, positive
  double share = 1.0;  ///< of the constraints in the gradient; the loss has the rest
};
/// A step of the numbers down the augmented Lagrangian and the loss, whose gradient is `of_loss`,
/// then one of the dual variables. Throws as `onto_box_with_sum`.
void make_step(LpBox& state, std::span<const double> of_loss, const LpBoxStep& step);

}  // namespace espalier::prune
