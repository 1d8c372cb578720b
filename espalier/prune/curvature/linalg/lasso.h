// SPDX-License-Identifier: Apache-2.0
/// The LASSO from a Gram matrix: no samples, no intercept.
#pragma once

#include <span>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::prune {

/// The b that minimizes bᵀ A b / 2 - cᵀ b + lambda |b|_1, by cyclic coordinate descent.
///
/// gram    A, float64 (n,n), plain, symmetric positive semidefinite. For the usual form
///         ||y - Z b||² / (2 rows) + lambda |b|_1 it is Zᵀ Z / rows, and c is Zᵀ y / rows.
/// start   where to begin (n values), or empty for zeros: speeds up a path of lambdas.
/// Coordinates whose A_ii is 0 stay 0. Ends when a sweep moves no coordinate by more than 1e-10 of
/// the largest, or after 10,000 sweeps.
/// Throws ShapeError when sizes don't fit, ValueError for a negative lambda.
/// Source: Friedman, Hastie, Tibshirani, "Regularization paths for generalized linear models via
/// coordinate descent", 2010, section 2 (covariance updates).
std::vector<double> lasso(const Tensor& gram,
                          std::span<const double> c,
                          double lambda,
                          std::vector<double> start = {});

/// Exactly `count` coordinates, marked 1: the support of the LASSO for the smallest lambda at which
/// no more than `count` are left, found by bisection; when that drops several at once, the largest
/// |b| of just before fill the rest (ties: the lower index).
std::vector<uint8_t> lasso_support(const Tensor& gram, std::span<const double> c, int64_t count);

}  // namespace espalier::prune
