// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/range_allocator.h>

#include <algorithm>
#include <iterator>

namespace espalier::detail {

int64_t RangeAllocator::take(int64_t nbytes) {
  const auto gap =
      std::ranges::find_if(gaps_, [&](const auto& entry) { return entry.second >= nbytes; });
  if (gap != gaps_.end()) {
    const auto [offset, size] = *gap;
    gaps_.erase(gap);
    if (size > nbytes) gaps_.emplace(offset + nbytes, size - nbytes);
    return offset;
  }
  // A gap at the end is the block's begin.
  int64_t offset = end_;
  if (!gaps_.empty()) {
    const auto last = std::prev(gaps_.end());
    if (last->first + last->second == end_) {
      offset = last->first;
      gaps_.erase(last);
    }
  }
  end_ = offset + nbytes;
  return offset;
}

void RangeAllocator::give_back(int64_t offset, int64_t nbytes) {
  auto next = gaps_.lower_bound(offset);
  if (next != gaps_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      offset = before->first;
      nbytes += before->second;
      gaps_.erase(before);
    }
  }
  if (next != gaps_.end() && offset + nbytes == next->first) {
    nbytes += next->second;
    gaps_.erase(next);
  }
  gaps_.emplace(offset, nbytes);
}

void RangeAllocator::trim() {
  if (gaps_.empty()) return;
  const auto last = std::prev(gaps_.end());
  if (last->first + last->second != end_) return;
  end_ = last->first;
  gaps_.erase(last);
}

}  // namespace espalier::detail
