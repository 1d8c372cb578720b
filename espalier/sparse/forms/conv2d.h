// SPDX-License-Identifier: Apache-2.0
/// Convolution with a sparse weight: the three directions of core/kernels/conv2d/conv2d.h, for
/// float32 in `Nchw16n`, at the cost of the kept weights, each in the form that is the fastest for
/// its support (form.h). A linear layer is a convolution of planes of one position. Nothing is
/// recorded here.
#pragma once

#include <string>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/sparse/kernels/backward.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse {

/// As conv2d_forward with a weight that is `weight` at kept positions and 0 elsewhere (other values
/// are not read); here and below `weight` may also be its `kept_values` (nnz), and x be read
/// through a map. Throws ValueError for operands without a sparse kernel: these exist for float32
/// in `Nchw16n`, one group, strides 1 and 2.
void conv2d_forward(const Conv2dShape& shape,
                    const MappedTensor& x,
                    const Tensor& weight,
                    const Support& support,
                    const Tensor& bias,
                    Tensor& y);
/// As conv2d_backward_data, likewise.
void conv2d_backward_data(const Conv2dShape& shape,
                          const Tensor& dy,
                          const Tensor& weight,
                          const Support& support,
                          Tensor& dx);
/// As conv2d_backward_weight at kept positions: `dweight` has their values alone (nnz), in the
/// order of Support::kept(). Bits don't depend on the thread count.
void conv2d_backward_weight(const Conv2dShape& shape,
                            const MappedTensor& x,
                            const Tensor& dy,
                            const Support& support,
                            Tensor& dweight);
/// Both of these in one pass over dy, which costs less than one after the other. With
/// `Result::Adds` dx holds a gradient already and becomes the sum, without a pass of its own.
void conv2d_backward(const Conv2dShape& shape,
                     const MappedTensor& x,
                     const Tensor& dy,
                     const Tensor& weight,
                     const Support& support,
                     Tensor& dx,
                     Tensor& dweight,
                     Result dx_result = Result::Replaces);
/// The same where x is read through a map with a ReLU and dx is wanted behind that: see
/// GatedResult.
void conv2d_backward(const Conv2dShape& shape,
                     const MappedTensor& x,
                     const Tensor& dy,
                     const Tensor& weight,
                     const Support& support,
                     Tensor& dx,
                     Tensor& dweight,
                     GatedResult& gate);

namespace detail {

struct KernelForm;

/// Empty when sparse kernels exist for such operands, else why not.
std::string missing_conv2d(const Conv2dShape& shape, DType dtype, Layout layout);

/// As conv2d_forward and conv2d_backward in a given form, of checked operands.
void forward_by(const KernelForm& form,
                const Conv2dShape& shape,
                const MappedTensor& x,
                const Tensor& weight,
                const Support& support,
                const Tensor& bias,
                Tensor& y);

}  // namespace detail

}  // namespace espalier::sparse
