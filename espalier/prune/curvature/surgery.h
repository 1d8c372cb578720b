// SPDX-License-Identifier: Apache-2.0
/// Optimal brain surgery on a whole weight matrix, column by column: what a removed weight did is
/// taken over by the columns to its right. Knows matrices, not layers.
#pragma once

#include <espalier/core/tensor.h>
#include <espalier/prune/ground/sparsity.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {

/// Settings of `prune_columns`.
struct SurgeryOptions {
  Sparsity sparsity = Sparsity(0.5);  ///< of the matrix; not read with cells or a given mask
  UnitCell cell = {};                 ///< `keep` of `size` neighbours in a row stay
  double damping = 0.01;              ///< times the mean of the diagonal, added to the diagonal
  int64_t block = 128;                ///< columns whose mask is chosen at a time
  int64_t at_least = 0;               ///< weights that stay in any case
};

/// A pruned matrix.
struct Surgery {
  Tensor weight;      ///< float64 (rows, columns), zero where the mask is
  Tensor mask;        ///< uint8
  double loss = 0.0;  ///< sum of err² / 2 over what was removed
};

/// Removes weights to keep ||W X - W' X||² small, H = 2/N X Xᵀ being the Hessian of every row.
///
/// weight   float64 (rows, columns).
/// hessian  float64 (columns, columns). Inputs that are always zero (H_ii = 0) lose their weights'
///          values.
/// alive    uint8 (rows, columns), or undefined: weights that are there; the others stay removed
///          and count as such.
/// given    uint8 (rows, columns), or undefined: the mask to use instead of choosing one.
/// Score of a weight: w² / U_ii², with the values it has when its block (or cell) is reached, and
/// H⁻¹ = Uᵀ U. The exact number of weights goes: after each block, `sparsity` of the columns so
/// far, rounded to the nearest; ties by row, then column. Results have the same bits on any number
/// of threads.
/// Throws ShapeError when sizes don't fit, ValueError when a cell does not divide the columns or
/// the damped Hessian is not positive definite.
/// Source: Frantar, Alistarh, "SparseGPT", arXiv 2301.00774, algorithm 1.
Surgery prune_columns(const Tensor& weight,
                      const Tensor& hessian,
                      const SurgeryOptions& options,
                      const Tensor& alive = {},
                      const Tensor& given = {});

}  // namespace espalier::prune
