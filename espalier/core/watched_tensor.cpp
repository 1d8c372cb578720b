// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/watched_tensor.h>

#include <cstring>
#include <map>
#include <mutex>
#include <utility>

namespace espalier {
namespace detail {
namespace {

/// A digest in which any change within one word of eight bytes shows for sure: each step is a
/// bijection of what came before. Four sums side by side, as multiplications take their time.
uint64_t digest(const std::byte* bytes, int64_t n) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15ull;
  uint64_t sums[4] = {1, 2, 3, 4};
  const auto add = [](uint64_t& sum, const std::byte* from, size_t count) {
    uint64_t word = 0;
    std::memcpy(&word, from, count);
    sum = (sum ^ word) * kOdd;
    sum ^= sum >> 29;
  };
  int64_t at = 0;
  for (; at + 32 <= n; at += 32) {
    for (int lane = 0; lane < 4; ++lane) add(sums[lane], bytes + at + 8 * lane, 8);
  }
  for (; at < n; at += 8)
    add(sums[0], bytes + at, static_cast<size_t>(std::min<int64_t>(8, n - at)));
  for (int lane = 1; lane < 4; ++lane) sums[0] = (sums[0] ^ sums[lane]) * kOdd;
  return sums[0];
}

/// Never destroyed: tensors in static variables may be written to after it.
std::mutex& write_mutex() {
  static std::mutex* mutex = new std::mutex;
  return *mutex;
}

}  // namespace

/// What may have been written to a watched block. Versions count changes; 0 is before the first.
struct WriteLog {
  struct Opened {
    uint64_t digest;          // of the bytes when they were last looked at
    uint64_t changed_at = 0;  // version of their last change
  };
  uint64_t version = 0;
  std::map<std::pair<int64_t, int64_t>, Opened> ranges;  // begin and end, in bytes

  /// Finds what changed since the last time.
  void settle(const std::byte* data) {
    for (auto& [range, opened] : ranges) {
      const uint64_t now = digest(data + range.first, range.second - range.first);
      if (now == opened.digest) continue;
      opened = {now, ++version};
    }
  }
};

void delete_write_log(WriteLog* log) {
  delete log;
}

void open_for_writing(Storage& storage, int64_t begin, int64_t end) {
  const std::lock_guard lock(write_mutex());
  if (!storage.is_watched()) return;
  WriteLog* log = storage.log_.load(std::memory_order_relaxed);
  if (log == nullptr) {
    log = new WriteLog;
    storage.log_.store(log, std::memory_order_release);
  }
  const auto [found, inserted] = log->ranges.try_emplace({begin, end});
  if (inserted) found->second.digest = digest(storage.data() + begin, end - begin);
}

uint64_t start_watching(Storage& storage) {
  storage.watchers_.fetch_add(1, std::memory_order_acq_rel);
  if (storage.log_.load(std::memory_order_acquire) == nullptr) return 0;
  const std::lock_guard lock(write_mutex());
  WriteLog* log = storage.log_.load(std::memory_order_relaxed);
  if (log == nullptr) return 0;
  log->settle(storage.data());
  return log->version;
}

void stop_watching(Storage& storage) noexcept {
  if (storage.watchers_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (storage.log_.load(std::memory_order_acquire) == nullptr) return;
  const std::lock_guard lock(write_mutex());
  if (storage.is_watched()) return;
  delete storage.log_.exchange(nullptr, std::memory_order_acq_rel);
}

bool changed_since(Storage& storage, uint64_t version, int64_t begin, int64_t end) {
  if (storage.log_.load(std::memory_order_acquire) == nullptr) return false;
  const std::lock_guard lock(write_mutex());
  WriteLog* log = storage.log_.load(std::memory_order_relaxed);
  if (log == nullptr) return false;
  log->settle(storage.data());
  for (const auto& [range, opened] : log->ranges) {
    if (opened.changed_at > version && range.first < end && begin < range.second) return true;
  }
  return false;
}

}  // namespace detail

WatchedTensor::WatchedTensor(const Tensor& tensor) : tensor_(tensor) {
  if (tensor_.defined()) since_ = detail::start_watching(*tensor_.storage_);
}

WatchedTensor::WatchedTensor(const WatchedTensor& other)
    : tensor_(other.tensor_), since_(other.since_) {
  if (tensor_.defined()) detail::start_watching(*tensor_.storage_);
}

WatchedTensor::WatchedTensor(WatchedTensor&& other) noexcept
    : tensor_(std::exchange(other.tensor_, Tensor())), since_(other.since_) {}

WatchedTensor& WatchedTensor::operator=(WatchedTensor other) noexcept {
  std::swap(tensor_, other.tensor_);
  std::swap(since_, other.since_);
  return *this;
}

WatchedTensor::~WatchedTensor() {
  if (tensor_.defined()) detail::stop_watching(*tensor_.storage_);
}

bool WatchedTensor::changed() const {
  if (!tensor_.defined()) return false;
  const auto [begin, end] = tensor_.byte_range();
  return detail::changed_since(*tensor_.storage_, since_, begin, end);
}

bool WatchedTensor::sees_the_same_as(const Tensor& other) const {
  return tensor_.shares_storage(other) && tensor_.offset_ == other.offset_ &&
         tensor_.shape_ == other.shape_ && tensor_.strides_ == other.strides_ &&
         tensor_.layout_ == other.layout_ && tensor_.dtype_ == other.dtype_;
}

}  // namespace espalier
