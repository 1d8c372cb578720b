// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/hand_over.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <system_error>
#include <thread>
#include <vector>

#include <sched.h>

namespace espalier::experiments {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMostProcessors = 16;
constexpr int kTurns = 2000;
constexpr int kRounds = 5;  // the quickest counts: others were interrupted

std::vector<int> processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> out;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return out;
  for (int i = 0; i < CPU_SETSIZE && out.size() < kMostProcessors; ++i) {
    if (CPU_ISSET(i, &set)) out.push_back(i);
  }
  return out;
}

/// Puts the calling thread on one processor.
bool stay_on(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

/// The calling thread is back on its processors in the end.
class Excursion {
 public:
  Excursion() { known_ = sched_getaffinity(0, sizeof before_, &before_) == 0; }
  ~Excursion() {
    if (known_) sched_setaffinity(0, sizeof before_, &before_);
  }
  Excursion(const Excursion&) = delete;
  Excursion& operator=(const Excursion&) = delete;

 private:
  cpu_set_t before_;
  bool known_;
};

/// Counts from `mine` on in steps of two, each time after the other has counted one further.
void take_turns(std::atomic<int>& count, int mine) {
  for (; mine <= 2 * kTurns; mine += 2) {
    while (count.load(std::memory_order_acquire) != mine - 1) {
    }
    count.store(mine, std::memory_order_release);
  }
}

/// Seconds of a hand-over between two processors; infinite where they can't be chosen. Throws
/// std::system_error where no thread can be started.
double seconds_between(int first, int second) {
  alignas(64) std::atomic<int> count{-1};
  std::atomic<int> ready{0};
  std::atomic<bool> chosen{true};
  const auto meet = [&](int processor) {
    if (!stay_on(processor)) chosen = false;
    ++ready;
    while (ready < 2) std::this_thread::yield();
    return chosen.load();
  };
  std::thread other([&] {
    if (meet(second)) take_turns(count, 2);
  });
  const Excursion excursion;
  double seconds = std::numeric_limits<double>::infinity();
  if (meet(first)) {
    const Clock::time_point begin = Clock::now();
    count = 0;
    take_turns(count, 1);
    seconds = std::chrono::duration<double>(Clock::now() - begin).count() / (2 * kTurns);
  }
  other.join();
  return seconds;
}

}  // namespace

std::optional<HandOver> measure_hand_over() {
  const std::vector<int> all = processors();
  if (all.size() < 2) return {};
  HandOver out{.nearest = std::numeric_limits<double>::infinity(), .farthest = 0.0};
  for (size_t i = 1; i < all.size(); ++i) {
    double seconds = std::numeric_limits<double>::infinity();
    try {
      for (int round = 0; round < kRounds; ++round) {
        seconds = std::min(seconds, seconds_between(all[0], all[i]));
      }
    } catch (const std::system_error&) {  // no memory for a thread
      return {};
    }
    out.nearest = std::min(out.nearest, 1e9 * seconds);
    out.farthest = std::max(out.farthest, 1e9 * seconds);
  }
  if (out.farthest == std::numeric_limits<double>::infinity()) return {};
  return out;
}

}  // namespace espalier::experiments
