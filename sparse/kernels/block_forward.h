// SPDX-License-Identifier: Apache-2.0
/// Convolution with weights in blocks of four output channels, forward. Not a public interface:
/// kernels/conv2d.h takes it where a pattern has such blocks.
#pragma once

#include <espalier/core/kernels/tap_convolution.h>
#include <espalier/sparse/pattern.h>

namespace espalier::sparse::detail {

/// The output of a forward tap convolution with the kept weights of a pattern; `bias` may be null.
void run_in_blocks(const espalier::detail::TapConvolution& conv,
                   const Pattern& pattern,
                   const Tensor& weight,
                   const float* in,
                   const float* bias,
                   float* out,
                   int64_t blocks);

}  // namespace espalier::sparse::detail
