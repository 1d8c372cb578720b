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
#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {

/// How the weights of one update go.
enum class Removal : uint8_t {
  InTurn,  ///< one after another, each on what those before it left
  Alone,   ///< each as if it were the only one; what others make up for it is added up
};

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
///
/// inverse  of the Hessian of the weights that are alive: rows and columns of others are not used.
/// cell     of every so many neighbours `keep` stay: their costs are infinite. None: all can go.
std::vector<double> removal_costs(Tensor inverse,
                                  std::vector<double> weights,
                                  std::span<const uint8_t> alive,
                                  const UnitCell& cell = {});

/// The saliency of every weight, each as if it went alone; 0 for weights that are not `alive`.
std::vector<double> single_costs(const Tensor& inverse,
                                 std::span<const double> weights,
                                 std::span<const uint8_t> alive);

/// Removes the weights that `goes` marks, each as if it went alone: w -= sum over q of w_q /
/// [H⁻¹]_qq H⁻¹ e_q, and then they are zero. Not the best for all of them together, which is what
/// `remove_weight` one after another comes to. Source: Singh, Alistarh, "WoodFisher", arXiv
/// 2004.14340, and its published code.
void remove_alone(const Tensor& inverse, std::span<double> weights, std::span<const uint8_t> goes);

}  // namespace espalier::prune
