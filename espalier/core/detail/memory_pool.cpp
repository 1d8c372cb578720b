// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/memory_pool.h>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <bit>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define ESPALIER_BLOCKS_APART 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ESPALIER_BLOCKS_APART 1
#endif
#endif

namespace espalier::detail {
namespace {

constexpr std::align_val_t kAlignment{64};
// Large blocks lie on huge pages where the system grants them: kernels read and write many streams
// side by side, each in a page of its own (gradients of weights by Winograd's algorithm took 1 to 3
// times as long on pages of 4 KB, by luck of their placement).
constexpr int64_t kHugePage = 2 << 20;
// Reads and writes are allowed for so many bytes at a time, so that the system refuses what it
// does not have.
constexpr int64_t kOpening = 64 << 20;

int64_t round_up(int64_t n, int64_t step) {
  return (n + step - 1) / step * step;
}

// Four size classes per power of two.
int64_t size_class(int64_t nbytes) {
  if (nbytes <= 64) return 64;
  const auto n = static_cast<uint64_t>(nbytes);
  const int shift = std::max(6, static_cast<int>(std::bit_width(n - 1)) - 3);
  return round_up(nbytes, int64_t{1} << shift);
}

std::byte* system_allocate(int64_t capacity) {
  return static_cast<std::byte*>(::operator new(static_cast<size_t>(capacity), kAlignment));
}

}  // namespace

int64_t pool_block_bytes(int64_t nbytes) {
  return nbytes < kLargeBlock ? size_class(nbytes) : RangeAllocator::block_bytes(nbytes);
}

#if defined(__linux__) && !defined(ESPALIER_BLOCKS_APART)

AddressRange::AddressRange() {
  const int64_t pages = sysconf(_SC_PHYS_PAGES);
  const int64_t page = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) return;
  const int64_t bytes = round_up(pages * page, kHugePage);
  void* begin = mmap(nullptr,
                     static_cast<size_t>(bytes + kHugePage),
                     PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                     -1,
                     0);
  if (begin == MAP_FAILED) return;
  const auto address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(begin));
  begin_ = static_cast<std::byte*>(begin) + (round_up(address, kHugePage) - address);
  reserved_ = bytes;
  // A hint: where it is refused, small pages serve as well.
  madvise(begin_, static_cast<size_t>(bytes), MADV_HUGEPAGE);
}

bool AddressRange::open_up_to(int64_t end) {
  if (end <= open_) return true;
  if (end > reserved_) return false;
  const int64_t open = std::min(round_up(end, kOpening), reserved_);
  const auto bytes = static_cast<size_t>(open - open_);
  if (mprotect(begin_ + open_, bytes, PROT_READ | PROT_WRITE) != 0) return false;
  open_ = open;
  return true;
}

void AddressRange::release() {
  allocator_.trim();
  int64_t gaps = 0;
  for (const auto& [offset, nbytes] : allocator_.gaps()) {
    madvise(begin_ + offset, static_cast<size_t>(nbytes), MADV_DONTNEED);
    gaps += nbytes;
  }
  if (open_ > allocator_.end()) {
    const auto beyond = static_cast<size_t>(open_ - allocator_.end());
    madvise(begin_ + allocator_.end(), beyond, MADV_DONTNEED);
  }
  released_ = gaps;
}

#else

AddressRange::AddressRange() = default;
bool AddressRange::open_up_to(int64_t) {
  return false;
}
void AddressRange::release() {}

#endif

std::byte* AddressRange::take(int64_t nbytes) {
  if (nbytes > reserved_) return nullptr;
  const int64_t end_before = allocator_.end();
  const int64_t offset = allocator_.take(nbytes);
  const int64_t grown = allocator_.end() - end_before;
  if (!open_up_to(allocator_.end())) {
    allocator_.give_back(offset, nbytes);
    return nullptr;
  }
  const int64_t came_back = std::min(released_, nbytes - grown);
  released_ -= came_back;
  growths_ += grown + came_back > 0 ? 1 : 0;
  return begin_ + offset;
}

void AddressRange::give_back(std::byte* block, int64_t nbytes) {
  allocator_.give_back(block - begin_, nbytes);
}

std::byte* MemoryPool::find(int64_t capacity) {
  if (capacity >= kLargeBlock) {
    if (std::byte* block = range_.take(capacity)) {
      range_in_use_ += capacity;
      return block;
    }
  }
  std::vector<std::byte*>& free = free_[capacity];
  if (free.empty()) return nullptr;
  std::byte* block = free.back();
  free.pop_back();
  free_bytes_ -= capacity;
  return block;
}

std::byte* MemoryPool::acquire(int64_t capacity) {
  std::lock_guard lock(mutex_);
  std::byte* block = find(capacity);
  if (block == nullptr) {
    try {
      block = system_allocate(capacity);
    } catch (const std::bad_alloc&) {
      release_unlocked();
      block = system_allocate(capacity);
    }
    ++stats_.system_allocations;
  }
  stats_.bytes_in_use += capacity;
  stats_.bytes_peak = std::max(stats_.bytes_peak, stats_.bytes_in_use);
  return block;
}

void MemoryPool::give_back(std::byte* block, int64_t capacity) noexcept {
  std::lock_guard lock(mutex_);
  stats_.bytes_in_use -= capacity;
  if (range_.holds(block)) {
    range_.give_back(block, capacity);
    range_in_use_ -= capacity;
    return;
  }
  free_[capacity].push_back(block);
  free_bytes_ += capacity;
}

void MemoryPool::release_unlocked() {
  for (auto& [capacity, blocks] : free_) {
    for (std::byte* block : blocks) ::operator delete(block, kAlignment);
    blocks.clear();
  }
  free_bytes_ = 0;
  range_.release();
}

void MemoryPool::release_all() {
  std::lock_guard lock(mutex_);
  release_unlocked();
}

MemoryStats MemoryPool::stats() {
  std::lock_guard lock(mutex_);
  MemoryStats out = stats_;
  out.system_allocations += range_.growths();
  out.bytes_pooled = free_bytes_ + range_.held() - range_in_use_;
  return out;
}

void MemoryPool::reset_peak() {
  std::lock_guard lock(mutex_);
  stats_.bytes_peak = stats_.bytes_in_use;
}

}  // namespace espalier::detail
