// SPDX-License-Identifier: Apache-2.0
/// Optimal brain surgery on a whole weight matrix: column by column, where what a removed weight
/// did is taken over by the columns to its right, or greedily, where all others of its row take it
/// over. Knows matrices, not layers.
#pragma once

#include <initializer_list>
#include <string_view>

#include <espalier/core/tensor.h>
#include <espalier/prune/ground/sparsity.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {

/// Settings of `prune_columns` and `prune_greedily`.
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

/// The same by the exact brain surgeon: in every row always the weight goes that costs least, w² /
/// (2 [H⁻¹]_qq), all others of the row make up for it, and H⁻¹ loses row and column q. How many go
/// of each row is settled by what they cost: those of all rows that cost least, up to the number;
/// with cells every row goes on while a cell has more than it keeps. What stays then is the best
/// for what went: `weight` minimizes the damped quadratic form over its mask, whose value is
/// `loss`.
///
/// Cost     about columns³ operations a row; `block` is not read.
/// Threads  rows are spread; the same bits on any number.
/// Arguments, ties within a row (the higher column goes) and errors as above.
/// Source: Frantar, Singh, Alistarh, "Optimal brain compression", arXiv 2208.11580, algorithm 1,
/// and its published code.
Surgery prune_greedily(const Tensor& weight,
                       const Tensor& hessian,
                       const SurgeryOptions& options,
                       const Tensor& alive = {});

/// Throws as they do, naming the operation, unless the arguments fit. Masks may be undefined.
void check_surgery(std::string_view operation,
                   const Tensor& weight,
                   const Tensor& hessian,
                   const SurgeryOptions& options,
                   std::initializer_list<const Tensor*> masks);

/// H with `damping` times the mean of its diagonal added to that. Inputs that are always zero (H_ii
/// = 0) count as 1 there, and lose their weights' values.
Tensor damped_hessian(const Tensor& hessian, double damping, Tensor& weight);

}  // namespace espalier::prune
