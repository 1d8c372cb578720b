// SPDX-License-Identifier: Apache-2.0
/// Convolution with weights that are half there but not in blocks, two output channels at a time.
/// Not a public interface: prepared_forward.h takes it where it pays.
#pragma once

#include <espalier/sparse/kernels/prepared_forward.h>

namespace espalier::sparse::detail {

/// Whether two channels at a time are faster than one. With density d and channels that choose
/// independently, two of them read d (2 - d) vectors of input for 2 d products, 0.75 for each at
/// d = 1/2 (2:4), where one channel reads one for each: the second loads of L1 and L2, which bind
/// the loop of one channel, become fewer than the products. At low density little is shared, and
/// the third loop per block of channels costs more than that.
bool runs_in_pairs(const Support& support);

/// A forward tap convolution with the kept weights of a support, in pairs of output channels.
std::unique_ptr<const PreparedForward> prepare_in_pairs(const TapConvolution& conv,
                                                        int64_t blocks,
                                                        const Support& support,
                                                        const Tensor& weight);

}  // namespace espalier::sparse::detail
