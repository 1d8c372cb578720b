// SPDX-License-Identifier: Apache-2.0
/// Float64 convolution as a blocked matrix product over columns of the input that are gathered as
/// they are needed: the three directions at a good part of the machine's float64 peak for any shape
/// and batch, for scores that need the precision. Not a public interface.
#pragma once

#include <espalier/core/kernels/conv2d/conv2d.h>

namespace espalier::detail {

/// As the functions of the same names in conv2d.h, for contiguous plain float64 tensors; bias may
/// be undefined. Sums over a fixed order: the bits don't depend on the thread count.
/// Source: Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
/// processing", 2006 (columns); Goto, van de Geijn, TOMS 34(3), 2008 (blocks and panels).
void conv2d_forward_columns(
    const Conv2dShape& shape, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
void conv2d_backward_data_columns(const Conv2dShape& shape,
                                  const Tensor& dy,
                                  const Tensor& weight,
                                  Tensor& dx);
void conv2d_backward_weight_columns(const Conv2dShape& shape,
                                    const Tensor& x,
                                    const Tensor& dy,
                                    Tensor& dweight);

}  // namespace espalier::detail
