// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/storage.h>

#include <cstring>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/core/storage_limit.h>

namespace espalier {
namespace {

TEST(Storage, IsAlignedAndWritableAtEverySize) {
  for (const int64_t nbytes : {0, 1, 63, 64, 65, 1000, 4097, 1 << 20}) {
    Storage block(nbytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data()) % 64, 0u);
    EXPECT_EQ(block.nbytes(), nbytes);
    std::memset(block.data(), 1, static_cast<size_t>(nbytes));
  }
}

TEST(Storage, ReusesWhatWasFreed) {
  { Storage warm_up(12345); }
  const MemoryStats before = memory_stats();
  for (int i = 0; i < 100; ++i) Storage block(12345 + i % 10);
  EXPECT_EQ(memory_stats().system_allocations, before.system_allocations);
  EXPECT_EQ(memory_stats().bytes_in_use, before.bytes_in_use);
}

TEST(Storage, CountsBytesInUseAndTheirPeak) {
  reset_peak_memory();
  const int64_t before = memory_stats().bytes_in_use;
  {
    Storage a(1 << 20);
    Storage b(1 << 20);
    EXPECT_EQ(memory_stats().bytes_in_use, before + (2 << 20));
  }
  EXPECT_EQ(memory_stats().bytes_in_use, before);
  EXPECT_EQ(memory_stats().bytes_peak, before + (2 << 20));
  reset_peak_memory();
  EXPECT_EQ(memory_stats().bytes_peak, before);
}

TEST(Storage, WastesAtMostAQuarter) {
  for (int64_t nbytes = 512; nbytes < 100000; nbytes = nbytes * 9 / 8 + 1) {
    const int64_t before = memory_stats().bytes_in_use;
    Storage block(nbytes);
    const int64_t used = memory_stats().bytes_in_use - before;
    EXPECT_GE(used, nbytes);
    EXPECT_LE(used, nbytes + nbytes / 4) << nbytes;
  }
}

TEST(Storage, WastesAtMost64KbOfLargeBlocks) {
  for (int64_t nbytes = 1 << 20; nbytes < 100 << 20; nbytes = nbytes * 9 / 8 + 1) {
    const int64_t before = memory_stats().bytes_in_use;
    Storage block(nbytes);
    const int64_t used = memory_stats().bytes_in_use - before;
    EXPECT_GE(used, nbytes);
    EXPECT_LT(used, nbytes + (64 << 10)) << nbytes;
  }
}

TEST(Storage, LargeBlocksOfOtherSizesTakeThePlaceOfFreedOnes) {
  release_pooled_memory();
  { Storage whole(24 << 20); }
  const MemoryStats before = memory_stats();
  {
    Storage a(7 << 20);
    Storage b(11 << 20);
    Storage c(6 << 20);
    std::memset(a.data(), 1, 7 << 20);
    std::memset(b.data(), 2, 11 << 20);
    std::memset(c.data(), 3, 6 << 20);
    EXPECT_EQ(a.data()[(7 << 20) - 1], std::byte{1});
    EXPECT_EQ(b.data()[0], std::byte{2});
    EXPECT_EQ(b.data()[(11 << 20) - 1], std::byte{2});
  }
#if !defined(__SANITIZE_ADDRESS__)  // there every block stands alone
  EXPECT_EQ(memory_stats().system_allocations, before.system_allocations);
  EXPECT_EQ(memory_stats().bytes_pooled, before.bytes_pooled);
#endif
}

TEST(Storage, ReleasedMemoryIsAskedForAgain) {
  Storage stays_below(8 << 20);
  {
    Storage gap(4 << 20);
    Storage stays_above(2 << 20);
  }
  release_pooled_memory();
  const MemoryStats before = memory_stats();
  EXPECT_EQ(before.bytes_pooled, 0);
  { Storage again(4 << 20); }
  EXPECT_EQ(memory_stats().system_allocations, before.system_allocations + 1);
  EXPECT_EQ(memory_stats().bytes_pooled, 4 << 20);
}

TEST(Storage, GivesPooledMemoryBackOnDemand) {
  { Storage block(1 << 20); }
  EXPECT_GT(memory_stats().bytes_pooled, 0);
  release_pooled_memory();
  EXPECT_EQ(memory_stats().bytes_pooled, 0);
}

TEST(Storage, RefusesAbsurdSizes) {
  EXPECT_THROW(Storage(-1), ValueError);
  EXPECT_THROW(Storage(int64_t{1} << 47), ValueError);
  const int64_t before = memory_stats().bytes_in_use;
  EXPECT_EQ(memory_stats().bytes_in_use, before);
}

TEST(Storage, MayBeTakenAndFreedByManyThreads) {
  const int64_t before = memory_stats().bytes_in_use;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 500; ++i) {
        Storage block(64 * (i % 7 + 1));
        std::memset(block.data(), t, static_cast<size_t>(block.nbytes()));
        for (int64_t k = 0; k < block.nbytes(); ++k) {
          ASSERT_EQ(static_cast<int>(block.data()[k]), t);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(memory_stats().bytes_in_use, before);
}

TEST(StorageLimit, BoundsWhatAThreadAsksForInAScope) {
  {
    const StorageLimit limit(1000);
    { Storage first(600); }
    EXPECT_THROW(Storage(401), ValueError);  // the freed 600 count
    {
      const StorageLimit narrower(100);
      EXPECT_THROW(Storage(101), ValueError);
      const StorageLimit no_wider(1 << 20);
      EXPECT_THROW(Storage(101), ValueError);
    }
    std::thread([] { Storage other_thread(5000); }).join();
    Storage rest(400);
    EXPECT_THROW(Storage(1), ValueError);
  }
  Storage free_again(5000);
}

}  // namespace
}  // namespace espalier
