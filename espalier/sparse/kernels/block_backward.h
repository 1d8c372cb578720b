// SPDX-License-Identifier: Apache-2.0
/// Both gradients of a convolution with weights in blocks of four output channels. Not a public
/// interface: kernels/conv2d.h takes it where a support has such blocks.
#pragma once

#include <espalier/sparse/kernels/conv2d.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse::detail {

/// As sparse::conv2d_backward for checked operands. `dx` or `dweight` may be null: not wanted;
/// `x` is not read without `dweight`, nor `weight` without `dx`. Bits don't depend on the thread
/// count.
///
/// Source  ours: performance is bound by loads in the order of input channels, where every product
///         of dx reads a vector of dy; in the order of dy, four channels share those of x and dx.
void backward_in_blocks(const Conv2dShape& shape,
                        const Tensor& x,
                        const Tensor& dy,
                        const Tensor& weight,
                        const Support& support,
                        Tensor* dx,
                        Result dx_result,
                        Tensor* dweight);

}  // namespace espalier::sparse::detail
