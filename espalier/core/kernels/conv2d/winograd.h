// SPDX-License-Identifier: Apache-2.0
/// Dense 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3) and F(4x4, 3x3): 16 products for a
/// 2x2 tile of outputs instead of 36, 36 for a 4x4 tile instead of 144. Float32 in `Nchw16n`.
/// Called by conv2d.cpp. Not a public interface.
///
/// Rounding: the points of winograd_micro.h make the errors of F(4x4) about twice those of a direct
/// sum. Measured against float64 on random layers, their root mean square is 8e-7 to 2.3e-6 of the
/// output's: 4 to 11 times that of libtorch's convolution of the same layers. Where that is too
/// much, `set_conv2d_algorithm` takes F(2x2) or direct sums for all layers.
///
/// Source: Lavin, Gray, arXiv 1509.09308. The gradient of the weight is the adjoint of the same
/// bilinear form: transformed x times transformed dy, summed over tiles.
#pragma once

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/core/kernels/conv2d/winograd_micro.h>

namespace espalier::detail {

/// Whether the three functions below serve this shape: a 3x3 kernel, stride, dilation and groups 1.
bool winograd_fits(const Conv2dShape& shape);

/// The three directions of conv2d.h for float32 tensors in `Nchw16n` (weight and bias plain); x may
/// be read through a map.
void conv2d_forward_winograd(const Conv2dShape& shape,
                             WinogradTile tile,
                             const MappedTensor& x,
                             const Tensor& weight,
                             const Tensor& bias,
                             Tensor& y);
void conv2d_backward_data_winograd(const Conv2dShape& shape,
                                   WinogradTile tile,
                                   const Tensor& dy,
                                   const Tensor& weight,
                                   Tensor& dx);
void conv2d_backward_weight_winograd(const Conv2dShape& shape,
                                     WinogradTile tile,
                                     const MappedTensor& x,
                                     const Tensor& dy,
                                     Tensor& dweight);

}  // namespace espalier::detail
