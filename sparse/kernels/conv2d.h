// SPDX-License-Identifier: Apache-2.0
/// Convolution with an unstructured sparse weight: the three directions of core/kernels/conv2d.h,
/// for float32 in `Nchw16n`, at the cost of the kept weights. Nothing is recorded here.
#pragma once

#include <string>

#include <espalier/core/kernels/conv2d.h>
#include <espalier/sparse/pattern.h>

namespace espalier::sparse {

/// Which kernel a convolution takes, and why.
struct KernelChoice {
  bool sparse = false;
  std::string reason;
};

/// The rule that the ops follow: sparse kernels where they exist (float32 in `Nchw16n`, one group,
/// strides 1 and 2) and where few enough weights are kept for them to be faster.
KernelChoice choose_conv2d(const Conv2dShape& shape,
                           DType dtype,
                           Layout layout,
                           const Pattern& pattern);

/// As conv2d_forward with a weight that is `weight` at kept positions and 0 elsewhere (other values
/// are not read). Throws ValueError when choose_conv2d says that no sparse kernel exists.
void conv2d_forward(const Conv2dShape& shape,
                    const Tensor& x,
                    const Tensor& weight,
                    const Pattern& pattern,
                    const Tensor& bias,
                    Tensor& y);
/// As conv2d_backward_data, likewise.
void conv2d_backward_data(const Conv2dShape& shape,
                          const Tensor& dy,
                          const Tensor& weight,
                          const Pattern& pattern,
                          Tensor& dx);
/// As conv2d_backward_weight at kept positions; 0 elsewhere. Bits don't depend on the thread count.
void conv2d_backward_weight(const Conv2dShape& shape,
                            const Tensor& x,
                            const Tensor& dy,
                            const Pattern& pattern,
                            Tensor& dweight);
/// Both of these in one pass over dy, which costs less than one after the other.
void conv2d_backward(const Conv2dShape& shape,
                     const Tensor& x,
                     const Tensor& dy,
                     const Tensor& weight,
                     const Pattern& pattern,
                     Tensor& dx,
                     Tensor& dweight);

}  // namespace espalier::sparse
