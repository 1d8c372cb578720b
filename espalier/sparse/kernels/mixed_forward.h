// SPDX-License-Identifier: Apache-2.0
/// Convolution with weights of which some rows of four output channels are filled blocks and others
/// not, forward. Not a public interface: prepared_forward.h takes it where it pays.
#pragma once

#include <espalier/sparse/kernels/prepared_forward.h>

namespace espalier::sparse::detail {

/// A support in two, each of the whole shape, and where their kept weights are among the support's.
struct MixedRows {
  Support blocks;  ///< rows of four output channels that pay as blocks
  Support single;  ///< all others
  std::vector<int32_t> block_ranks, single_ranks;
};
/// Made once and kept with the support.
std::shared_ptr<const MixedRows> mixed_rows(const Support& support);
/// Whether enough rows are blocks to run them as such beside the others.
bool runs_mixed(const Support& support);

/// A forward tap convolution whose rows run in blocks or weight by weight, tile by tile from one
/// padded copy of the input.
std::unique_ptr<const PreparedForward> prepare_mixed(const TapConvolution& conv,
                                                     int64_t blocks,
                                                     const Support& support,
                                                     const Tensor& weight);

}  // namespace espalier::sparse::detail
