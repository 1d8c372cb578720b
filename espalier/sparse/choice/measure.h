// SPDX-License-Identifier: Apache-2.0
/// How long a layer takes here and now, by sparse and by dense kernels.
#pragma once

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/sparse/forms/pass.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse {

/// Milliseconds of one pass with the threads in use: the median of several runs.
struct KernelTimes {
  double sparse = 0.0;  ///< 0 where no sparse kernel exists
  double dense = 0.0;   ///< of the dense kernel
};

/// True when sparse kernels exist for a convolution of this shape, in float32 and `Nchw16n`.
bool has_sparse_conv2d(const Conv2dShape& shape);

/// Both kernels on operands of their own, in turns, so that what else the machine does meets both:
/// their ratio is what is asked for. `support` null: the dense kernel alone.
KernelTimes measure_conv2d(const Conv2dShape& shape, const Support* support, Pass pass);

}  // namespace espalier::sparse
