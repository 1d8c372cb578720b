// SPDX-License-Identifier: Apache-2.0
/// The fast dense convolution: float32 in `Nchw16n`. Called by conv2d.cpp. Not a public interface.
#pragma once

#include <espalier/core/kernels/conv2d/conv2d.h>

namespace espalier::detail {

/// The three directions of conv2d.h for float32 tensors in `Nchw16n` (weight and bias plain); x may
/// be read through a map.
void conv2d_forward_lanes(const Conv2dShape& shape,
                          const MappedTensor& x,
                          const Tensor& weight,
                          const Tensor& bias,
                          Tensor& y);
void conv2d_backward_data_lanes(const Conv2dShape& shape,
                                const Tensor& dy,
                                const Tensor& weight,
                                Tensor& dx);
void conv2d_backward_weight_lanes(const Conv2dShape& shape,
                                  const MappedTensor& x,
                                  const Tensor& dy,
                                  Tensor& dweight);

}  // namespace espalier::detail
