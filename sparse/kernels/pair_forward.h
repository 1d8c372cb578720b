// SPDX-License-Identifier: Apache-2.0
/// Convolution with weights that are half there but not in blocks, two output channels at a time.
/// Not a public interface: kernels/conv2d.h takes it where it pays.
#pragma once

#include <espalier/core/kernels/tap_convolution.h>
#include <espalier/sparse/pattern.h>

namespace espalier::sparse::detail {

/// Whether two channels at a time are faster than one. With density d and channels that choose
/// independently, two of them read d (2 - d) vectors of input for 2 d products, 0.75 for each at
/// d = 1/2 (2:4), where one channel reads one for each: the second loads of L1 and L2, which bind
/// the loop of one channel, become fewer than the products. At low density little is shared, and
/// the third loop per block of channels costs more than that.
bool runs_in_pairs(const Pattern& pattern);

/// The output of a forward tap convolution with the kept weights of a pattern.
void run_in_pairs(const espalier::detail::TapConvolution& conv,
                  const Pattern& pattern,
                  const Tensor& weight,
                  const float* in,
                  const float* bias,
                  float* out,
                  int64_t blocks);

}  // namespace espalier::sparse::detail
