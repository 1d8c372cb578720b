// SPDX-License-Identifier: Apache-2.0
/// Planes of up to 2x2 without a halo: there a 3x3 kernel with padding multiplies zeros in 20 of
/// its 36 products. Seen from one position each, only the weights of the taps that it reaches are
/// left. Not a public interface.
#pragma once

#include <cstdint>
#include <vector>

#include <espalier/core/kernels/conv2d/tap_convolution.h>

namespace espalier::sparse::detail {

/// The positions of a plane up to 2x2 one by one, as convolutions that together write each position
/// once; else, or where `blocks` of 16 samples fill no more than half of the tiles of single
/// positions, or a position reaches no tap at all, the convolution itself.
std::vector<espalier::detail::TapConvolution> tap_classes(
    const espalier::detail::TapConvolution& conv, int64_t blocks);

}  // namespace espalier::sparse::detail
