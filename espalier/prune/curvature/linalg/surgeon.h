// SPDX-License-Identifier: Apache-2.0
/// The optimal brain surgeon's formulas on one block of weights: what it costs to remove one, and
/// how the others make up for it, by the inverse of a Hessian (or Fisher matrix).
///
/// To remove several together, remove them one after another: the sum of the costs is
/// ½ w_Qᵀ ([H⁻¹]_QQ)⁻¹ w_Q and the weights that stay are the best for what is gone, in any order.
///
/// Source: Hassibi, Stork, "Second order derivatives for network pruning: optimal brain surgeon",
/// 1992, equation 5.
#pragma once

#include <span>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::prune {

/// What the loss rises by when weight q goes and the others adapt: w_q² / (2 [H⁻¹]_qq).
double saliency(const Tensor& inverse, std::span<const double> weights, int64_t q);

/// Removes weight q: w -= w_q / [H⁻¹]_qq H⁻¹ e_q, and H⁻¹ becomes that of the Hessian without row
/// and column q (which are zero in it). Returns the saliency.
///
/// inverse  float64 (n,n), plain, symmetric and positive definite over the weights that are there.
/// Throws ValueError when [H⁻¹]_qq is not positive: q is gone already, or damping is too small.
double remove_weight(Tensor& inverse, std::span<double> weights, int64_t q);

/// When each weight goes if always the one with the lowest saliency goes next and the others adapt:
/// the largest saliency paid up to its removal. Rises strictly in order of removal, so that the k
/// lowest numbers of many blocks are the k weights that go if all blocks are pruned together. Of
/// equal saliencies the higher index goes first. 0 for weights that are not `alive`.
std::vector<double> removal_costs(Tensor inverse,
                                  std::vector<double> weights,
                                  std::span<const uint8_t> alive);

}  // namespace espalier::prune
