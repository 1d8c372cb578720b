// SPDX-License-Identifier: Apache-2.0
/// Symmetric positive definite matrices in float64: factorizations and solutions. Blocked over the
/// matrix product of core, so results have the same bits on any number of threads. Dense and
/// in-memory; up to some thousands of rows.
#pragma once

#include <espalier/core/tensor.h>

namespace espalier::prune {

/// The lower triangular L with a = L Lᵀ.
///
/// a  float64 (n,n), plain; only its lower triangle is read.
/// Throws ShapeError unless square, TypeError unless float64, ValueError naming the first pivot
/// that is not positive (then `a` is not positive definite: add to its diagonal).
Tensor cholesky(const Tensor& a);

/// The upper triangular U with a⁻¹ = Uᵀ U. U_ii² is entry (0,0) of the inverse of the trailing
/// block a[i:,i:], and U[i,i:] / U_ii is that inverse's first row divided by it. Computed as the
/// inverse of R, a = R Rᵀ with R upper triangular; a⁻¹ itself is never formed. Arguments and errors
/// as `cholesky`.
Tensor inverse_cholesky(const Tensor& a);

/// x with a x = b. a as for `cholesky`, b float64 (n,m), plain.
Tensor solve_positive(const Tensor& a, const Tensor& b);

/// x with a x = b and a slight pull to `near`, which settles what `a` leaves open: (a + r I) x = b
/// + r near, r a millionth of the mean of a's diagonal, or 1 if that is 0. `a` may be semidefinite,
/// b and near float64 (n,m), plain, n at least 1.
Tensor solve_near(const Tensor& a, const Tensor& b, const Tensor& near);

}  // namespace espalier::prune
