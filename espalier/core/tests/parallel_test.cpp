// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/parallel.h>
#include <espalier/core/shares.h>

#include <unistd.h>

#include <atomic>
#include <cmath>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/core/error.h>

namespace espalier {
namespace {

class ParallelTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    before_ = num_threads();
    set_num_threads(GetParam());
  }
  void TearDown() override { set_num_threads(before_); }

 private:
  int before_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Threads, ParallelTest, ::testing::Values(1, 2, 7));

TEST_P(ParallelTest, VisitsEveryIndexOnceInRangesOfTheGrain) {
  ASSERT_EQ(num_threads(), GetParam());
  for (const int64_t n : {0, 1, 9, 10, 11, 1000}) {
    std::vector<std::atomic<int>> visits(static_cast<size_t>(n));
    std::mutex mutex;
    std::set<std::pair<int64_t, int64_t>> ranges;
    parallel_for(n, 10, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
      const std::lock_guard lock(mutex);
      ranges.insert({begin, end});
    });
    for (const auto& count : visits) EXPECT_EQ(count, 1);
    EXPECT_EQ(static_cast<int64_t>(ranges.size()), (n + 9) / 10);
    for (const auto& [begin, end] : ranges) {
      EXPECT_EQ(begin % 10, 0);
      EXPECT_EQ(end, std::min(n, begin + 10));
    }
  }
}

TEST_P(ParallelTest, SumHasTheBitsOfTheSerialSumOfRanges) {
  constexpr int64_t kCount = 100003;
  constexpr int64_t kGrain = 97;
  // Magnitudes from 1e-8 to 1e8: any change of order changes bits.
  const auto body = [](int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += std::sin(double(i)) * std::pow(10.0, i % 17 - 8);
    return sum;
  };
  double expected = 0;
  for (int64_t i = 0; i < kCount; i += kGrain) expected += body(i, std::min(kCount, i + kGrain));
  for (int repeat = 0; repeat < 5; ++repeat) {
    EXPECT_EQ(parallel_sum(kCount, kGrain, body), expected);
  }
}

TEST_P(ParallelTest, RethrowsWhatABodyThrowsAndStaysUsable) {
  const auto bad = [](int64_t begin, int64_t) {
    if (begin == 50) throw ValueError("body 50");
  };
  EXPECT_THROW(parallel_for(100, 1, bad), ValueError);
  EXPECT_EQ(parallel_sum(100, 1, [](int64_t begin, int64_t) { return double(begin); }), 4950.0);
}

TEST_P(ParallelTest, LoopsMayBeNested) {
  std::atomic<int64_t> sum{0};
  parallel_for(20, 1, [&](int64_t i, int64_t) {
    parallel_for(30, 1, [&](int64_t j, int64_t) { sum += i * 30 + j; });
  });
  EXPECT_EQ(sum, 600 * 599 / 2);
}

TEST(SetNumThreads, RefusesNegativeAndAbsurdNumbers) {
  EXPECT_THROW(set_num_threads(-1), ValueError);
  EXPECT_THROW(set_num_threads(1 << 20), ValueError);
}

TEST(SetNumThreads, WhileLoopsRunPrintsNothing) {
  // In a process of its own: TBB prints a warning about its limits once.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto child = [] {
    set_num_threads(2);
    std::atomic<bool> grown{false};
    parallel_for(2, 1, [&](int64_t begin, int64_t) {
      if (begin != 0) return;
      std::thread([&] {
        set_num_threads(8);
        parallel_for(64, 1, [](int64_t, int64_t) {});
        grown = true;
      }).join();
    });
    _exit(grown ? 3 : 4);
  };
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(3), "^$");
}

TEST(Shares, AThreadBeginsWithItsOwnInOrderAndThenHelpsTheNext) {
  detail::Shares shares(10, 3);
  ASSERT_EQ(shares.count(), 3);
  std::vector<int64_t> seen;
  shares.drain(1, [&](int64_t task) { seen.push_back(task); });
  EXPECT_EQ(seen, (std::vector<int64_t>{3, 4, 5, 6, 7, 8, 9, 0, 1, 2}));
  shares.drain(0, [&](int64_t task) { seen.push_back(task); });
  EXPECT_EQ(seen.size(), 10u);
}

TEST(Shares, ManyThreadsOnFewTasksAndManyTasksOnManyThreads) {
  for (const int64_t threads : {1, 2, 64, 65, 1000}) {
    for (const int64_t tasks : {0, 1, 5, 64, 1001}) {
      detail::Shares shares(tasks, threads);
      std::vector<int> visits(static_cast<size_t>(tasks));
      for (int64_t thread = threads - 1; thread >= 0; --thread) {
        shares.drain(thread, [&](int64_t task) { ++visits[static_cast<size_t>(task)]; });
      }
      EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(tasks), 1))
          << threads << ", " << tasks;
    }
  }
}

TEST(ParallelFor, TreatsAGrainBelowOneAsOne) {
  int64_t sum = 0;
  const int before = num_threads();
  set_num_threads(1);
  parallel_for(3, 0, [&](int64_t begin, int64_t end) { sum += end - begin; });
  set_num_threads(before);
  EXPECT_EQ(sum, 3);
}

}  // namespace
}  // namespace espalier
