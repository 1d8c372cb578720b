// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/layout_copy.h>

#include <algorithm>

#include <espalier/core/error.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

// Positions are handled in groups of 16, so that a group's 16 x 16 elements stay in L1.
constexpr int64_t kGroup = 16;

template <class T, bool kToLanes>
void transpose_lanes(const T* from, T* to, const Shape& shape) {
  const int64_t n = shape[0];
  const int64_t positions = n == 0 ? 0 : shape.numel() / n;
  const int64_t groups = (positions + kGroup - 1) / kGroup;
  const int64_t blocks = (n + kLanes - 1) / kLanes;
  parallel_for(blocks * groups, 64, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task / groups;
      const int64_t first = task % groups * kGroup;
      const int64_t last = std::min(positions, first + kGroup);
      const int64_t lanes = std::min(kLanes, n - block * kLanes);
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const int64_t plain = (block * kLanes + lane) * positions;
        const int64_t packed = block * positions * kLanes + lane;
        for (int64_t p = first; p < last; ++p) {
          if constexpr (kToLanes) {
            to[packed + p * kLanes] = lane < lanes ? from[plain + p] : T{};
          } else if (lane < lanes) {
            to[plain + p] = from[packed + p * kLanes];
          }
        }
      }
    }
  });
}

template <bool kToLanes>
void transpose_bytes(const void* from, void* to, const Shape& shape, int64_t item_size) {
  switch (item_size) {
    case 1:
      return transpose_lanes<uint8_t, kToLanes>(
          static_cast<const uint8_t*>(from), static_cast<uint8_t*>(to), shape);
    case 4:
      return transpose_lanes<uint32_t, kToLanes>(
          static_cast<const uint32_t*>(from), static_cast<uint32_t*>(to), shape);
    case 8:
      return transpose_lanes<uint64_t, kToLanes>(
          static_cast<const uint64_t*>(from), static_cast<uint64_t*>(to), shape);
    default:
      throw TypeError(cat("layout conversion: unsupported element size ", item_size));
  }
}

}  // namespace

void copy_to_lanes(const void* from, void* to, const Shape& shape, int64_t item_size) {
  transpose_bytes<true>(from, to, shape, item_size);
}

void copy_from_lanes(const void* from, void* to, const Shape& shape, int64_t item_size) {
  transpose_bytes<false>(from, to, shape, item_size);
}

}  // namespace espalier::detail
