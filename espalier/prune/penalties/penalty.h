// SPDX-License-Identifier: Apache-2.0
/// Penalties on single parameters: l1 and group lasso, as subgradients that are added to what the
/// backward pass gave, and as proximal steps after the optimizer's. No penalty knows a method.
#pragma once

#include <span>
#include <vector>

#include <espalier/nn/module/parameter.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {

/// Adds numbers (one per entry) to the gradient, in fresh memory: leaves may share a gradient's
/// tensor. Parameters without a gradient and masked entries are left alone.
void add_to_gradient(nn::Parameter& parameter, std::span<const double> amounts);

/// d/dw of strength * sum |w|: strength * sign(w), with sign(0) = 0.
void add_l1_gradient(nn::Parameter& parameter, double strength);

/// ||w_g||_2 of every group of entries.
std::vector<double> group_norms(const nn::Parameter& parameter, const Units& groups);
/// d/dw of strength * sum over groups of ||w_g||_2: strength * w / ||w_g||, 0 for zero groups. No
/// factor for the size of a group.
void add_group_lasso_gradient(nn::Parameter& parameter, const Units& groups, double strength);
/// The proximal step: w_g *= max(0, 1 - amount / ||w_g||). Reaches zero exactly.
void shrink_groups(nn::Parameter& parameter, const Units& groups, double amount);
/// Sets entries below `threshold` in absolute value to zero.
void cut_small(nn::Parameter& parameter, double threshold);

}  // namespace espalier::prune
