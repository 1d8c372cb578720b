// SPDX-License-Identifier: Apache-2.0
/// Shares: the tasks of a loop, dealt to its threads in one piece each. Where tasks follow the
/// samples, a thread so meets in every loop the samples whose lines its caches hold. Who has
/// nothing left takes from the next. Not a public interface.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

namespace espalier::detail {

/// Lives as long as the loop.
class Shares {
 public:
  /// `tasks` tasks of `threads` threads.
  Shares(int64_t tasks, int64_t threads)
      : tasks_(tasks),
        threads_(threads),
        count_(std::max<int64_t>(1, std::min({threads, tasks, kMost}))) {
    for (int64_t i = 0; i < count_; ++i) next_[static_cast<size_t>(i)].task = begin(i);
  }

  /// How many there are: one for a thread, but no more than tasks.
  int64_t count() const { return count_; }

  /// Calls run(task) for the tasks in the share of `thread`, in their order, then for those that
  /// the others have not begun.
  template <class Run>
  void drain(int64_t thread, const Run& run) {
    const int64_t own = std::min(count_ - 1, thread * count_ / threads_);
    for (int64_t i = 0; i < count_; ++i) drain_share((own + i) % count_, run);
  }

 private:
  static constexpr int64_t kMost = 64;  // more threads have one in common
  struct alignas(64) Next {
    std::atomic<int64_t> task;
  };

  int64_t begin(int64_t share) const { return share * tasks_ / count_; }

  template <class Run>
  void drain_share(int64_t share, const Run& run) {
    std::atomic<int64_t>& next = next_[static_cast<size_t>(share)].task;
    const int64_t end = begin(share + 1);
    // A look first: a finished share's line stays where it is.
    while (next.load(std::memory_order_relaxed) < end) {
      const int64_t task = next.fetch_add(1, std::memory_order_relaxed);
      if (task < end) run(task);
    }
  }

  int64_t tasks_;
  int64_t threads_;
  int64_t count_;
  std::array<Next, kMost> next_;
};

/// Whether this thread runs a task of a parallel_for that several threads share.
bool in_parallel_loop();

}  // namespace espalier::detail
