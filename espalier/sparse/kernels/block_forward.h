// SPDX-License-Identifier: Apache-2.0
/// Convolution with weights in blocks of four output channels, forward. Not a public interface:
/// prepared_forward.h takes it where a support has such blocks.
#pragma once

#include <espalier/sparse/kernels/prepared_forward.h>

namespace espalier::sparse::detail {

/// A forward tap convolution with the kept weights of a support in blocks.
std::unique_ptr<const PreparedForward> prepare_in_blocks(const TapConvolution& conv,
                                                         int64_t blocks,
                                                         const Support& support,
                                                         const Tensor& weight);

}  // namespace espalier::sparse::detail
