// SPDX-License-Identifier: Apache-2.0
/// Gram matrices of what layers multiply their weights with: X^T X, by which squared errors of a
/// layer's outputs are measured. Second derivatives of such errors are multiples of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::prune {

/// a (m,k) times b (k,n), float64.
Tensor matrix_product(const Tensor& a, const Tensor& b);

/// Sums of x^T x over parts of the data, one matrix per group of channels; float64.
class Grams {
 public:
  /// Adds x (positions, columns) of a group; groups come in order the first time.
  void add(int64_t group, const Tensor& x);
  /// Groups seen.
  int64_t groups() const { return static_cast<int64_t>(sums_.size()); }
  /// H = 2/N X^T X of a group, the Hessian of the mean squared error of each row of its weight.
  Tensor hessian(int64_t group) const;

 private:
  std::vector<Tensor> sums_;
  std::vector<int64_t> positions_;
};

/// What channels add to the reader's outputs, x_c = vec(X_c W_cᵀ), one with another.
///
/// inputs   Xᵀ X of the reader's inputs, float64 (columns, columns), or a multiple of it.
/// weight   float64 (outputs, columns).
/// channel  of every column, -1: of none (`channel_of_column` of sites/reader.h).
/// Returns float64 (channels, channels + 1), the same multiple of x_cᵀ x_d; the last column is with
/// what the columns of no channel add.
Tensor contribution_gram(const Tensor& inputs,
                         const Tensor& weight,
                         std::span<const int64_t> channel,
                         int64_t channels);

}  // namespace espalier::prune
