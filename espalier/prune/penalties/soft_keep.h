// SPDX-License-Identifier: Apache-2.0
/// Soft keep ratios: a threshold on channels' importance that is soft, and lies where the channels
/// keep a given share in the mean, so that the share has a derivative.
///
///   p_c = 1 / (1 + (b_c / beta1)^-beta2)      beta1 so that mean p = alpha
///   dp_c / d alpha = C f_c / sum f            f_c = p_c (1 - p_c), C channels
///
/// Source: Ning, Zhao, Li, Lei, Wang, Yang, arXiv 2004.02164, section 3, and its published code,
/// which keeps exponents within -20 .. 20.
#pragma once

#include <span>
#include <vector>

namespace espalier::prune {

/// Of every channel.
struct SoftKeep {
  std::vector<double> open;   ///< p_c
  std::vector<double> slope;  ///< dp_c / d alpha
};
/// See above; `sharpness` is beta2. Throws ValueError unless 0 < alpha < 1 and sharpness > 0, and
/// for a negative importance.
SoftKeep soft_keep(std::span<const double> importance, double alpha, double sharpness);

}  // namespace espalier::prune
