// SPDX-License-Identifier: Apache-2.0
/// Eigenvectors of symmetric matrices, and what follows from them: truncated singular value and
/// Tucker decompositions. Float64, dense, in one thread, up to some hundreds of rows.
#pragma once

#include <utility>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::prune {

/// Eigenvalues of a symmetric matrix, largest first, and their vectors.
struct SymmetricEigen {
  std::vector<double> values;  ///< n
  Tensor vectors;              ///< (n,n): column j belongs to values[j], of length 1
};
/// By Jacobi's rotations. `a` float64 (n,n), plain; only its upper triangle counts. A vector's
/// largest entry is positive. Throws ShapeError unless square, TypeError unless float64, ValueError
/// for numbers that are not finite.
SymmetricEigen symmetric_eigen(const Tensor& a);

/// The best approximation of a matrix by a product: U sqrt(S) and sqrt(S) V^T, balanced, so that
/// both sides learn alike. (m,R) and (R,n). A direction without any length has its unit vector on
/// the shorter side and zero on the other. matrix float64 (m,n), plain. Throws ValueError unless 1
/// <= rank <= min(m,n).
std::pair<Tensor, Tensor> truncated_svd(const Tensor& matrix, int64_t rank);

/// The squares of the singular values, largest first; min(m,n) of them.
std::vector<double> squared_singular_values(const Tensor& matrix);

/// K[t,s,i,j] = sum over a, b of outputs[t,a] inputs[s,b] core[a,b,i,j].
struct Tucker2 {
  Tensor outputs;  ///< (T,R), orthonormal columns
  Tensor inputs;   ///< (S,Q), orthonormal columns
  Tensor core;     ///< (R,Q,h,w)
};
/// Of a kernel (T,S,h,w), float64, plain: the leading left singular vectors of its unfoldings
/// (HOSVD), then `iterations` times each side's for the other side's newest (HOOI), which never
/// makes the error larger. Throws ValueError unless 1 <= outputs <= T and 1 <= inputs <= S. Source:
/// Kim et al., arXiv 1511.06530.
Tucker2 tucker2(const Tensor& kernel, int64_t outputs, int64_t inputs, int64_t iterations);
/// A kernel (T,S,h,w) as a matrix: (T, S h w), or (S, T h w).
Tensor unfolded(const Tensor& kernel, bool by_outputs);

}  // namespace espalier::prune
