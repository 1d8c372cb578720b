// SPDX-License-Identifier: Apache-2.0
/// The weights of a plan: which of them exist, and how only those go to a file. Not a public
/// interface.
#pragma once

#include <cstdint>

#include <espalier/core/tensor.h>

namespace espalier::nn::plan {

/// The nonzeros of a weight: values in flat order, and the gaps between their positions. A byte
/// below 255 is the distance from the last nonzero (at first: from -1), less one; 255 means 255
/// more to go, and the next byte goes on. At 95 % sparsity that is 5 bytes a weight.
struct PackedNonzeros {
  Tensor values;  ///< float32 (nnz)
  Tensor gaps;    ///< uint8
};
PackedNonzeros pack_nonzeros(const Tensor& weight);
/// The weight again. Throws ValueError when gaps and values don't fit each other or the shape.
Tensor unpack_nonzeros(const PackedNonzeros& packed, const Shape& shape);

}  // namespace espalier::nn::plan
