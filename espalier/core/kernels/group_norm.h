// SPDX-License-Identifier: Apache-2.0
/// Raw group normalization and its backward pass, float32 and float64, in either layout. Layer norm
/// is the case of one group and single positions. Sums in float64, in a fixed order.
#pragma once

#include <espalier/core/tensor.h>

namespace espalier {

/// Mean and 1/sqrt(var+eps) of each sample's groups, float64, [blocks][groups][lanes].
struct GroupStatistics {
  Tensor mean;
  Tensor rstd;
};

/// y = gamma (x - mean) rstd + beta; x, y (N,C,P) contiguous and alike, gamma and beta (C) plain
/// contiguous of x's type; groups divides C. y is overwritten.
GroupStatistics group_norm_forward(const Tensor& x,
                                   int64_t groups,
                                   const Tensor& gamma,
                                   const Tensor& beta,
                                   double eps,
                                   Tensor& y);
/// dx like x, dgamma and dbeta (C); all overwritten. With xhat = (x - mean) rstd and h = gamma dy:
/// dx = rstd (h - mean(h) - xhat mean(h xhat)), dgamma = sum dy xhat, dbeta = sum dy.
void group_norm_backward(const Tensor& x,
                         const Tensor& dy,
                         int64_t groups,
                         const Tensor& gamma,
                         const GroupStatistics& statistics,
                         Tensor& dx,
                         Tensor& dgamma,
                         Tensor& dbeta);

}  // namespace espalier
