// SPDX-License-Identifier: Apache-2.0
/// Two-dimensional convolution (cross-correlation, as in all frameworks) and its two adjoints. The
/// three are the bilinear forms of one trilinear sum, so each one's backward is written in the
/// other two and every order of derivative exists.
#pragma once

#include <espalier/autograd/variable.h>
#include <espalier/core/kernels/conv2d.h>
#include <espalier/sparse/pattern.h>

namespace espalier {

/// x (N,C,H,W), weight (K,C/groups,R,S), bias (K) or undefined, to (N,K,H',W') in x's layout,
/// H' = (H + 2*padding - dilation*(R-1) - 1) / stride + 1.
/// `sparsity` says which weights exist and which gradient is wanted of them (see sparse/pattern.h).
/// Throws ShapeError when sizes don't fit.
Variable conv2d(const Variable& x,
                const Variable& weight,
                const Variable& bias = {},
                const Conv2dOptions& options = {},
                const sparse::WeightSparsity& sparsity = {});

/// The x for which <conv2d(x, weight), grad> is linear: gradient of conv2d with respect to x.
/// grad (N,K,H',W') to `input_shape` (N,C,H,W), in grad's layout.
Variable conv2d_backward_data(const Variable& grad,
                              const Variable& weight,
                              const Shape& input_shape,
                              const Conv2dOptions& options,
                              const sparse::WeightSparsity& sparsity = {});

/// Gradient of conv2d with respect to the weight: x (N,C,H,W) and grad (N,K,H',W') to
/// `weight_shape`. With `GradRequest::Masked` only positions kept by the pattern are computed,
/// others are 0.
Variable conv2d_backward_weight(const Variable& x,
                                const Variable& grad,
                                const Shape& weight_shape,
                                const Conv2dOptions& options,
                                const sparse::WeightSparsity& sparsity = {});

}  // namespace espalier
