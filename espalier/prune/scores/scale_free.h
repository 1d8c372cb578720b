// SPDX-License-Identifier: Apache-2.0
/// Units that a network does not notice being rescaled: the filters in front of a normalization
/// that takes its statistics from what they give. The derivative of the loss along such a unit's
/// weights, sum of w dL/dw, is zero, whatever the unit is worth; and a score that is the sum of
/// w dF/dw for an F made of gradients (which shrink as the unit grows) is fixed by that alone: of
/// F = -|g|^2 / 2 it is +|g_unit|^2.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// Sites whose units are of that kind.
struct ScaleFree {
  std::vector<std::string> sites;  ///< their names
  size_t of = 0;                   ///< sites that were looked at: units of several weights
  /// True if there are any.
  explicit operator bool() const { return !sites.empty(); }
  /// `13 of 14 layers (features.0.weight, ..)`.
  std::string told() const;
};

/// The sites in which the terms of every unit cancel: against terms of random sign, whose sum is
/// about the root of the sum of their squares, less than a hundredth is left. `terms` are w dL/dw,
/// or a score's own summands, of `weights` in their order. Sites without terms other than zero
/// don't count.
ScaleFree scale_free_sites(std::span<const Site> sites,
                           std::span<const nn::NamedParameter> weights,
                           std::span<const Tensor> terms);

}  // namespace espalier::prune
