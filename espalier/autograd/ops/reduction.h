// SPDX-License-Identifier: Apache-2.0
/// Reductions over dimensions, in a fixed order (same bits for any number of threads; float32 is
/// summed in float64). `dims` may be negative and empty means all. Reducing the batch dimension of
/// `Nchw16n` gives a plain result; otherwise the layout is kept.
#pragma once

#include <optional>
#include <vector>

#include <espalier/autograd/variable.h>

namespace espalier {

/// Sum of elements.
Variable sum(const Variable& a, const std::vector<int>& dims = {}, bool keepdim = false);
/// Mean of elements; NaN over zero elements.
Variable mean(const Variable& a, const std::vector<int>& dims = {}, bool keepdim = false);
/// Largest element; among equals the first in row-major order gets the gradient. ValueError if
/// empty.
Variable max(const Variable& a, const std::vector<int>& dims = {}, bool keepdim = false);
/// Smallest element; among equals the first in row-major order gets the gradient, NaN counts as
/// smallest. ValueError if empty.
Variable min(const Variable& a, const std::vector<int>& dims = {}, bool keepdim = false);
/// Where the largest element along `dim` stands, int64; without `dim` among all elements in
/// row-major order. The first of equals; a NaN counts as largest. Plain, not recorded. ValueError
/// if empty.
Tensor argmax(const Variable& a, std::optional<int> dim = std::nullopt, bool keepdim = false);
/// The same of the smallest element; a NaN counts as smallest.
Tensor argmin(const Variable& a, std::optional<int> dim = std::nullopt, bool keepdim = false);
/// Element i is the sum of elements 0..i along `dim`; float32 is summed in float64. Keeps `Nchw16n`
/// when dim is not 0.
Variable cumsum(const Variable& a, int dim);
/// Variance; `correction` 1 divides by n-1 (sample), 0 by n (population).
Variable var(const Variable& a,
             const std::vector<int>& dims = {},
             int correction = 1,
             bool keepdim = false);
/// p-norm (sum |a|^p)^(1/p), p >= 1; the gradient of a zero vector is 0.
Variable norm(const Variable& a,
              double p = 2.0,
              const std::vector<int>& dims = {},
              bool keepdim = false);
/// log(sum(exp(a))), computed without overflow.
Variable logsumexp(const Variable& a, const std::vector<int>& dims, bool keepdim = false);
/// Sums `a` over the dimensions along which `shape` was broadcast to a's shape: the backward of
/// broadcasting. The result has exactly `shape` and `layout`.
Variable sum_to(const Variable& a, const Shape& shape, Layout layout);

}  // namespace espalier
