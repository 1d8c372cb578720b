// SPDX-License-Identifier: Apache-2.0
/// MemoryPool: where the blocks of storage.h come from and go to.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include <espalier/core/detail/range_allocator.h>
#include <espalier/core/storage.h>

namespace espalier::detail {

/// Blocks of this size and more lie in one range of addresses and are cut to size; smaller ones are
/// kept by size.
inline constexpr int64_t kLargeBlock = 1 << 20;

/// What a block of `nbytes` takes: of small ones up to a quarter more, since four sizes a power of
/// two let those meet that differ a little; of large ones the next 64 KB.
int64_t pool_block_bytes(int64_t nbytes);

/// Addresses of their own, as many as the machine has bytes of memory.
class AddressRange {
 public:
  /// No addresses where the system has none to give (a limit on them, another system), and under
  /// AddressSanitizer, which finds what writes beyond a block of its own only.
  AddressRange();
  /// nullptr when the range or the machine's memory is out.
  std::byte* take(int64_t nbytes);
  /// Gives back what `take` gave, whole.
  void give_back(std::byte* block, int64_t nbytes);
  /// Whether `block` came from here.
  bool holds(const std::byte* block) const { return block >= begin_ && block < begin_ + reserved_; }
  /// Gives the pages of all gaps back to the system.
  void release();
  /// Bytes of pages that the system gave and that were not released.
  int64_t held() const { return allocator_.end() - released_; }
  /// How often pages were asked of the system.
  int64_t growths() const { return growths_; }

 private:
  bool open_up_to(int64_t end);

  std::byte* begin_ = nullptr;
  int64_t reserved_ = 0;
  int64_t open_ = 0;      // up to here reads and writes are allowed
  int64_t released_ = 0;  // bytes of gaps whose pages are gone
  int64_t growths_ = 0;
  RangeAllocator allocator_;
};

/// Thread-safe. See storage.h for what it keeps count of.
class MemoryPool {
 public:
  /// `capacity` is what `pool_block_bytes` says. Throws std::bad_alloc.
  std::byte* acquire(int64_t capacity);
  void give_back(std::byte* block, int64_t capacity) noexcept;
  void release_all();
  MemoryStats stats();
  void reset_peak();

 private:
  std::byte* find(int64_t capacity);
  void release_unlocked();

  std::mutex mutex_;
  AddressRange range_;
  std::map<int64_t, std::vector<std::byte*>> free_;  // what lies outside of the range, by size
  int64_t free_bytes_ = 0;
  int64_t range_in_use_ = 0;
  MemoryStats stats_;
};

}  // namespace espalier::detail
