// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/storage.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include <espalier/core/allocation_log.h>
#include <espalier/core/error.h>
#include <espalier/core/shares.h>
#include <espalier/core/storage_limit.h>

namespace espalier {
namespace {

constexpr std::align_val_t kAlignment{64};
// Blocks of this size and more lie on huge pages where the system grants them: kernels read and
// write many streams side by side, each in a page of its own (gradients of weights by Winograd's
// algorithm took 1 to 3 times as long on pages of 4 KB, by luck of their placement).
constexpr std::align_val_t kHugePage{2 << 20};

bool on_huge_pages(int64_t capacity) {
  return capacity >= static_cast<int64_t>(kHugePage);
}

std::byte* system_allocate(int64_t capacity) {
  const std::align_val_t alignment = on_huge_pages(capacity) ? kHugePage : kAlignment;
  void* block = ::operator new(static_cast<size_t>(capacity), alignment);
#if defined(__linux__)
  // A hint: where it is refused, small pages serve as well.
  if (on_huge_pages(capacity)) madvise(block, static_cast<size_t>(capacity), MADV_HUGEPAGE);
#endif
  return static_cast<std::byte*>(block);
}

void system_free(std::byte* block, int64_t capacity) {
  ::operator delete(block, on_huge_pages(capacity) ? kHugePage : kAlignment);
}

// Four size classes per power of two: at most 25 % of a block is waste, and sizes that differ a
// little (the last batch of an epoch) meet in one class.
int64_t size_class(int64_t nbytes) {
  if (nbytes <= 64) return 64;
  const auto n = static_cast<uint64_t>(nbytes);
  const int shift = std::max(6, static_cast<int>(std::bit_width(n - 1)) - 3);
  const uint64_t step = 1ull << shift;
  return static_cast<int64_t>((n + step - 1) / step * step);
}

class Pool {
 public:
  std::byte* acquire(int64_t capacity) {
    {
      std::lock_guard lock(mutex_);
      stats_.bytes_in_use += capacity;
      stats_.bytes_peak = std::max(stats_.bytes_peak, stats_.bytes_in_use);
      std::vector<std::byte*>& free = free_[capacity];
      if (!free.empty()) {
        std::byte* block = free.back();
        free.pop_back();
        stats_.bytes_pooled -= capacity;
        return block;
      }
      ++stats_.system_allocations;
    }
    try {
      return system_allocate(capacity);
    } catch (const std::bad_alloc&) {
      release_all();
      try {
        return system_allocate(capacity);
      } catch (const std::bad_alloc&) {
        std::lock_guard lock(mutex_);
        stats_.bytes_in_use -= capacity;
        throw;
      }
    }
  }

  void give_back(std::byte* block, int64_t capacity) noexcept {
    std::lock_guard lock(mutex_);
    stats_.bytes_in_use -= capacity;
    stats_.bytes_pooled += capacity;
    free_[capacity].push_back(block);
  }

  void release_all() {
    std::lock_guard lock(mutex_);
    for (auto& [capacity, blocks] : free_) {
      for (std::byte* block : blocks) system_free(block, capacity);
      blocks.clear();
    }
    stats_.bytes_pooled = 0;
  }

  MemoryStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }

  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.bytes_peak = stats_.bytes_in_use;
  }

 private:
  std::mutex mutex_;
  std::map<int64_t, std::vector<std::byte*>> free_;
  MemoryStats stats_;
};

// What this thread may still ask for.
thread_local int64_t limit_left = std::numeric_limits<int64_t>::max();

// Who listens to this thread, and whether a kernel runs in it.
thread_local AllocationLog* allocation_log = nullptr;
thread_local bool in_workspace = false;

// Never destroyed: tensors in static variables may be freed after it.
Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

}  // namespace

MemoryStats memory_stats() {
  return pool().stats();
}
void reset_peak_memory() {
  pool().reset_peak();
}
void release_pooled_memory() {
  pool().release_all();
}

int64_t block_bytes(int64_t nbytes) {
  return size_class(nbytes);
}

WorkspaceScope::WorkspaceScope() : outer_(in_workspace) {
  in_workspace = true;
}

WorkspaceScope::~WorkspaceScope() {
  in_workspace = outer_;
}

AllocationLog::AllocationLog() : outer_(allocation_log) {
  allocation_log = this;
}

AllocationLog::~AllocationLog() {
  allocation_log = outer_;
}

int64_t AllocationLog::note_made(int64_t nbytes) {
  static std::atomic<int64_t> next{0};
  const int64_t mark = next.fetch_add(1, std::memory_order_relaxed);
  events_.push_back(
      {static_cast<int64_t>(marks_.size()), nbytes, in_workspace, detail::in_parallel_loop()});
  marks_.push_back(mark);
  return mark;
}

void AllocationLog::note_freed(int64_t mark) {
  const auto found = std::lower_bound(marks_.begin(), marks_.end(), mark);
  if (found == marks_.end() || *found != mark) return;  // made before
  events_.push_back({.block = found - marks_.begin(), .nbytes = -1});
}

StorageLimit::StorageLimit(int64_t nbytes) : outer_(limit_left) {
  limit_left = std::min(limit_left, nbytes);
}

StorageLimit::~StorageLimit() {
  limit_left = outer_;
}

Storage::Storage(int64_t nbytes) : nbytes_(nbytes) {
  ESPALIER_CHECK(nbytes >= 0 && nbytes <= (1ll << 46),
                 ValueError,
                 "storage: expects a size between 0 and 2^46 bytes, got ",
                 nbytes);
  ESPALIER_CHECK(nbytes <= limit_left,
                 ValueError,
                 "storage: ",
                 nbytes,
                 " bytes asked for, ",
                 limit_left,
                 " are left of what is allowed here");
  if (limit_left != std::numeric_limits<int64_t>::max()) limit_left -= nbytes;
  capacity_ = size_class(nbytes);
  data_ = pool().acquire(capacity_);
  if (allocation_log != nullptr) log_mark_ = allocation_log->note_made(nbytes);
}

Storage::~Storage() {
  if (allocation_log != nullptr && log_mark_ >= 0) allocation_log->note_freed(log_mark_);
  pool().give_back(data_, capacity_);
  detail::delete_write_log(log_.load(std::memory_order_relaxed));
}

}  // namespace espalier
