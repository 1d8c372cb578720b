// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/compress/relative_index.h>

#include <espalier/core/error.h>

namespace espalier::nn::compress {

RelativeIndex encode_positions(std::span<const int64_t> positions, int bits) {
  ESPALIER_CHECK(
      bits >= 1 && bits <= 16, ValueError, "encode_positions: expects 1..16 bits, got ", bits);
  const int64_t widest = (int64_t{1} << bits) - 1;
  RelativeIndex out;
  int64_t at = 0;
  for (size_t i = 0; i < positions.size(); ++i) {
    ESPALIER_CHECK(i == 0 ? positions[i] >= 0 : positions[i] > positions[i - 1],
                   ValueError,
                   "encode_positions: expects ascending positions from 0 on, got ",
                   positions[i],
                   " as number ",
                   i);
    for (; positions[i] - at > widest; at += widest) {
      out.gaps.push_back(static_cast<uint32_t>(widest));
      out.filler.push_back(true);
    }
    out.gaps.push_back(static_cast<uint32_t>(positions[i] - at));
    out.filler.push_back(false);
    at = positions[i];
  }
  return out;
}

std::vector<int64_t> decode_positions(const RelativeIndex& index, int64_t size) {
  ESPALIER_CHECK(index.gaps.size() == index.filler.size(),
                 ValueError,
                 "decode_positions: expects a filler flag per gap, got ",
                 index.gaps.size(),
                 " gaps and ",
                 index.filler.size(),
                 " flags");
  std::vector<int64_t> out;
  int64_t at = 0;
  for (size_t i = 0; i < index.gaps.size(); ++i) {
    ESPALIER_CHECK(i == 0 || index.gaps[i] > 0,
                   ValueError,
                   "decode_positions: entry ",
                   i,
                   " has the same position as the one before");
    at += index.gaps[i];
    ESPALIER_CHECK(
        at < size, ValueError, "decode_positions: entry ", i, " is at position ", at, " of ", size);
    if (!index.filler[i]) out.push_back(at);
  }
  return out;
}

}  // namespace espalier::nn::compress
