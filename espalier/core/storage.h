// SPDX-License-Identifier: Apache-2.0
/// Memory of tensors: 64-byte-aligned blocks from a pool that keeps what is freed, so that a steady
/// training step asks the system for nothing. Not a general allocator.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace espalier {

/// What the pool did since the program started, or since `reset_peak_memory` for the peak.
struct MemoryStats {
  int64_t system_allocations = 0;  ///< blocks asked from the system, ever
  int64_t bytes_in_use = 0;        ///< bytes of live blocks
  int64_t bytes_peak = 0;          ///< highest `bytes_in_use`
  int64_t bytes_pooled = 0;        ///< bytes kept for reuse
};

/// The state of the pool now.
MemoryStats memory_stats();
/// Makes `bytes_peak` start from what is in use now.
void reset_peak_memory();
/// Gives all unused blocks back to the system.
void release_pooled_memory();

/// What the pool takes for a block of `nbytes`: up to a quarter more, from 1 MB on up to 64 KB.
int64_t block_bytes(int64_t nbytes);

class Storage;
namespace detail {
struct WriteLog;
/// For Tensor and WatchedTensor (watched_tensor.h), which says what they are for.
void delete_write_log(WriteLog* log);
void open_for_writing(Storage& storage, int64_t begin, int64_t end);
uint64_t start_watching(Storage& storage);
void stop_watching(Storage& storage) noexcept;
bool changed_since(Storage& storage, uint64_t version, int64_t begin, int64_t end);
}  // namespace detail

/// One block of the pool, freed with its last owner. Content is uninitialized.
class Storage {
 public:
  /// Throws ValueError for a negative size or one beyond 2^46 bytes; std::bad_alloc when memory is
  /// out.
  explicit Storage(int64_t nbytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  /// The first byte.
  std::byte* data() { return data_; }
  /// As asked for.
  int64_t nbytes() const { return nbytes_; }
  /// True while somebody wants to know of changes (watched_tensor.h).
  bool is_watched() const { return watchers_.load(std::memory_order_relaxed) != 0; }

 private:
  friend void detail::open_for_writing(Storage& storage, int64_t begin, int64_t end);
  friend uint64_t detail::start_watching(Storage& storage);
  friend void detail::stop_watching(Storage& storage) noexcept;
  friend bool detail::changed_since(Storage& storage, uint64_t version, int64_t begin, int64_t end);

  std::byte* data_ = nullptr;
  int64_t nbytes_ = 0;
  int64_t capacity_ = 0;
  int64_t log_mark_ = -1;  // by which an AllocationLog knows it
  std::atomic<int32_t> watchers_{0};
  std::atomic<detail::WriteLog*> log_{nullptr};  // exists once something was opened for writing
};

}  // namespace espalier
