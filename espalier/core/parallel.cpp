// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/parallel.h>

#include <algorithm>
#include <utility>
#include <vector>

#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#include <espalier/core/detail/processors.h>
#include <espalier/core/error.h>
#include <espalier/core/shares.h>

namespace espalier {
namespace {

constexpr int kMostThreads = 1024;

// TBB gives no more workers than processors unless told; tests run 7 threads on 2. Of several
// limits the smallest counts, and TBB prints a warning when an arena wants more than it: so there
// is one, of all that can be asked for, and the arena alone says how many threads run. A program
// around this library may have a smaller limit of its own.
int allowed_by_tbb(int n) {
  // Never destroyed; volatile, or the unread pointer would be left out and the limit called a leak.
  static tbb::global_control* const volatile limit =
      new tbb::global_control(tbb::global_control::max_allowed_parallelism, kMostThreads);
  (void)limit;
  const size_t allowed =
      tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
  return static_cast<int>(std::min(static_cast<size_t>(n), std::max<size_t>(1, allowed)));
}

struct Pool {
  explicit Pool(int n) : arena(allowed_by_tbb(n)), size(n) {}
  tbb::task_arena arena;
  int size;
};

std::shared_ptr<Pool>& pool_slot() {
  static auto* slot =
      new std::shared_ptr<Pool>(std::make_shared<Pool>(detail::available_processors()));
  return *slot;
}

std::shared_ptr<Pool> pool() {
  return std::atomic_load(&pool_slot());
}

// Debian's oneTBB is not compiled for ThreadSanitizer, which so misses that the body of a loop runs
// after what came before the loop and before what comes after. These tell it: what happened before
// `publish` is seen after `receive` of the same address. tools/tsan.supp has what else it misses.
#if defined(__SANITIZE_THREAD__)
void publish(const void* address) {
  __tsan_release(const_cast<void*>(address));
}
void receive(const void* address) {
  __tsan_acquire(const_cast<void*>(address));
}
#else
void publish(const void*) {}
void receive(const void*) {}
#endif

/// What an arena runs, perhaps on another thread when all of its places are taken: it then reads
/// nothing of this object before it has received it.
template <class Loop>
struct Delegated {
  const Loop& loop;
  void operator()() const {
    receive(this);
    loop();
  }
};

thread_local bool in_loop = false;

/// While it lives, this thread runs tasks that others run too.
struct InLoop {
  bool outer = std::exchange(in_loop, true);
  ~InLoop() { in_loop = outer; }
};

}  // namespace

bool detail::in_parallel_loop() {
  return in_loop;
}

void set_num_threads(int n) {
  ESPALIER_CHECK(n >= 0 && n <= kMostThreads,
                 ValueError,
                 "set_num_threads: expects 0 (all) to ",
                 kMostThreads,
                 ", got ",
                 n);
  if (n == 0) n = detail::available_processors();
  if (n != num_threads()) std::atomic_store(&pool_slot(), std::make_shared<Pool>(n));
}

int num_threads() {
  return pool()->size;
}

void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  if (n <= 0) return;
  grain = std::max<int64_t>(1, grain);
  const int64_t ranges = (n + grain - 1) / grain;
  const auto run = [&](int64_t range) { body(range * grain, std::min(n, (range + 1) * grain)); };
  const std::shared_ptr<Pool> threads = pool();
  if (ranges == 1 || threads->size == 1) {
    for (int64_t range = 0; range < ranges; ++range) run(range);
    return;
  }
  const char begun = 0;  // addresses to publish
  const char done = 0;
  detail::Shares shares(ranges, threads->size);
  const auto loop = [&] {
    tbb::parallel_for(
        tbb::blocked_range<int64_t>(0, shares.count(), 1),
        [&](const auto&) {
          receive(&begun);
          const InLoop scope;
          shares.drain(tbb::this_task_arena::current_thread_index(), run);
          publish(&done);
        },
        tbb::static_partitioner());
  };
  const Delegated<decltype(loop)> delegated{loop};
  publish(&begun);
  publish(&delegated);
  threads->arena.execute(delegated);
  receive(&done);
}

double parallel_sum(int64_t n, int64_t grain, FunctionRef<double(int64_t, int64_t)> body) {
  if (n <= 0) return 0.0;
  grain = std::max<int64_t>(1, grain);
  std::vector<double> partial(static_cast<size_t>((n + grain - 1) / grain));
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    partial[static_cast<size_t>(begin / grain)] = body(begin, end);
  });
  double sum = 0.0;
  for (double value : partial) sum += value;
  return sum;
}

}  // namespace espalier
