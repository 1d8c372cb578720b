// SPDX-License-Identifier: Apache-2.0
/// Two-dimensional convolution (cross-correlation, as in all frameworks), its two adjoints, and the
/// transposed convolution that layers use. The first three are the bilinear forms of one trilinear
/// sum, so each one's backward is written in the other two and every order of derivative exists.
#pragma once

#include <espalier/autograd/variable.h>
#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/sparse/support.h>

namespace espalier {

/// x (N,C,H,W), weight (K,C/groups,R,S), bias (K) or undefined, to (N,K,H',W') in x's layout,
/// H' = (H + 2*padding - dilation*(R-1) - 1) / stride + 1.
/// `sparsity` says which weights exist and which gradient is wanted of them (see sparse/support.h).
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
/// `weight_shape`. With `GradRequest::Masked` only positions kept by the support are computed,
/// others are 0.
Variable conv2d_backward_weight(const Variable& x,
                                const Variable& grad,
                                const Shape& weight_shape,
                                const Conv2dOptions& options,
                                const sparse::WeightSparsity& sparsity = {});

/// How a transposed convolution walks over its output.
struct ConvTranspose2dOptions {
  Pair stride = 1;          ///< steps between the places to which values of x are spread
  Pair padding = 0;         ///< rows and columns cut off at each end of the output
  Pair output_padding = 0;  ///< more rows and columns at its lower and right end
  Pair dilation = 1;        ///< distance of a window's taps
  int64_t groups = 1;       ///< in- and out-channels are cut into so many independent parts
};

/// (N,K,H',W'), H' = (H-1) * stride - 2 * padding + dilation * (R-1) + output_padding + 1. Throws
/// ShapeError when sizes don't fit, ValueError for options out of range.
Shape conv_transpose2d_shape(const Shape& x,
                             const Shape& weight,
                             const ConvTranspose2dOptions& options);

/// The transposed convolution, PyTorch's ConvTranspose2d: x (N,C,H,W), weight (C,K/groups,R,S),
/// bias (K) or undefined, to `conv_transpose2d_shape`, in x's layout: what conv2d with this weight
/// is for the gradient of its input. `sparsity` as in conv2d. Throws as conv_transpose2d_shape.
/// Source: Dumoulin, Visin, arXiv:1603.07285, chapter 4.
Variable conv_transpose2d(const Variable& x,
                          const Variable& weight,
                          const Variable& bias = {},
                          const ConvTranspose2dOptions& options = {},
                          const sparse::WeightSparsity& sparsity = {});

}  // namespace espalier
