// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/storage.h>

#include <algorithm>
#include <limits>
#include <vector>

#include <espalier/core/allocation_log.h>
#include <espalier/core/detail/memory_pool.h>
#include <espalier/core/error.h>
#include <espalier/core/shares.h>
#include <espalier/core/storage_limit.h>

namespace espalier {
namespace {

// What this thread may still ask for.
thread_local int64_t limit_left = std::numeric_limits<int64_t>::max();

// Who listens to this thread, and whether a kernel runs in it.
thread_local AllocationLog* allocation_log = nullptr;
thread_local bool in_workspace = false;

// Never destroyed: tensors in static variables may be freed after it.
detail::MemoryPool& pool() {
  static auto* instance = new detail::MemoryPool;
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
  return detail::pool_block_bytes(nbytes);
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
  capacity_ = detail::pool_block_bytes(nbytes);
  data_ = pool().acquire(capacity_);
  if (allocation_log != nullptr) log_mark_ = allocation_log->note_made(nbytes);
}

Storage::~Storage() {
  if (allocation_log != nullptr && log_mark_ >= 0) allocation_log->note_freed(log_mark_);
  pool().give_back(data_, capacity_);
  detail::delete_write_log(log_.load(std::memory_order_relaxed));
}

}  // namespace espalier
