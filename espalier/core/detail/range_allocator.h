// SPDX-License-Identifier: Apache-2.0
/// RangeAllocator: which part of one range of addresses a block takes. It knows offsets alone, so
/// that the pool (memory_pool.h) and a forecast of what it will need share one rule.
#pragma once

#include <cstdint>
#include <map>

namespace espalier::detail {

/// Offsets 0, 1, .. of a range that grows at its end. A block takes the lowest gap that holds it,
/// so that what lives long sinks to the begin and the end stays low; neighbouring gaps are one.
/// Source of the rule: first fit in the order of addresses; Wilson et al., "Dynamic storage
/// allocation: a survey and critical review", 1995, section 3.4.
class RangeAllocator {
 public:
  /// Every block is a multiple of this many bytes.
  static constexpr int64_t kStep = 64 << 10;
  /// What a block of `nbytes` takes.
  static int64_t block_bytes(int64_t nbytes) { return (nbytes + kStep - 1) / kStep * kStep; }

  /// The offset of a block of `nbytes`, a positive multiple of kStep. May move the end.
  int64_t take(int64_t nbytes);
  /// Gives back what `take` gave, whole.
  void give_back(int64_t offset, int64_t nbytes);
  /// Where the range ends: no block lies beyond.
  int64_t end() const { return end_; }
  /// Cuts the gap off that lies at the end, if there is one.
  void trim();
  /// Bytes by offset.
  const std::map<int64_t, int64_t>& gaps() const { return gaps_; }

 private:
  std::map<int64_t, int64_t> gaps_;
  int64_t end_ = 0;
};

}  // namespace espalier::detail
