// SPDX-License-Identifier: Apache-2.0
/// Sparse positions as distances of fixed width: the middle part of Deep Compression's sparse
/// storage. It knows nothing of values or files.
///
/// An entry is the distance from the one before (the first: from position 0). A distance that the
/// width cannot hold is bridged by fillers: entries at the largest distance whose weight is zero.
/// Source: Han, Mao, Dally, arXiv:1510.00149, section 2, figure 2.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace espalier::nn::compress {

/// Positions as distances, with the entries that are no position.
struct RelativeIndex {
  std::vector<uint32_t> gaps;  ///< distances from the position before, less one
  std::vector<bool> filler;    ///< of every gap: a zero entry, put there to bridge a distance
};

/// `positions` ascending without repetition; gaps are at most 2^bits - 1. Throws ValueError for
/// bits outside of 1..16 and for positions that do not ascend from 0 on.
RelativeIndex encode_positions(std::span<const int64_t> positions, int bits);

/// The positions of the entries that are no filler. Throws ValueError when they do not ascend or
/// one is not below `size`.
std::vector<int64_t> decode_positions(const RelativeIndex& index, int64_t size);

}  // namespace espalier::nn::compress
