// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/range_allocator.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace espalier::detail {
namespace {

constexpr int64_t k = RangeAllocator::kStep;

TEST(RangeAllocator, RoundsBlocksUpToItsStep) {
  EXPECT_EQ(RangeAllocator::block_bytes(1), k);
  EXPECT_EQ(RangeAllocator::block_bytes(k), k);
  EXPECT_EQ(RangeAllocator::block_bytes(k + 1), 2 * k);
}

TEST(RangeAllocator, TakesTheLowestGapThatHoldsABlock) {
  RangeAllocator range;
  EXPECT_EQ(range.take(2 * k), 0);
  EXPECT_EQ(range.take(4 * k), 2 * k);
  EXPECT_EQ(range.take(k), 6 * k);
  range.give_back(0, 2 * k);
  EXPECT_EQ(range.take(3 * k), 7 * k) << "the gap of two is too small";
  EXPECT_EQ(range.take(k), 0);
  EXPECT_EQ(range.take(k), k) << "what was left of the gap";
  EXPECT_EQ(range.end(), 10 * k);
}

TEST(RangeAllocator, JoinsNeighbouringGaps) {
  RangeAllocator range;
  for (int i = 0; i < 4; ++i) range.take(k);
  range.give_back(0, k);
  range.give_back(2 * k, k);
  EXPECT_EQ(range.gaps().size(), 2u);
  range.give_back(k, k);
  EXPECT_EQ(range.gaps(), (std::map<int64_t, int64_t>{{0, 3 * k}}));
  EXPECT_EQ(range.take(3 * k), 0);
}

TEST(RangeAllocator, GrowsAGapAtItsEnd) {
  RangeAllocator range;
  range.take(k);
  range.take(2 * k);
  range.give_back(k, 2 * k);
  EXPECT_EQ(range.take(5 * k), k) << "the gap at the end is the block's begin";
  EXPECT_EQ(range.end(), 6 * k);
  EXPECT_TRUE(range.gaps().empty());
}

TEST(RangeAllocator, CutsOffAGapAtItsEnd) {
  RangeAllocator range;
  range.take(k);
  range.take(2 * k);
  range.trim();
  EXPECT_EQ(range.end(), 3 * k);
  range.give_back(k, 2 * k);
  range.trim();
  EXPECT_EQ(range.end(), k);
  EXPECT_TRUE(range.gaps().empty());
}

TEST(RangeAllocator, BlocksNeverMeetAndNothingIsLost) {
  RangeAllocator range;
  std::mt19937 random(1);
  std::vector<std::pair<int64_t, int64_t>> blocks;  // offset, bytes
  for (int i = 0; i < 2000; ++i) {
    if (blocks.empty() || random() % 5 < 3) {
      const int64_t bytes = k * (1 + static_cast<int64_t>(random() % 9));
      blocks.emplace_back(range.take(bytes), bytes);
    } else {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      range.give_back(blocks.back().first, blocks.back().second);
      blocks.pop_back();
    }
    // Blocks and gaps, side by side, are the whole range.
    std::vector<std::pair<int64_t, int64_t>> all = blocks;
    all.insert(all.end(), range.gaps().begin(), range.gaps().end());
    std::ranges::sort(all);
    int64_t end = 0;
    for (const auto& [offset, bytes] : all) {
      ASSERT_EQ(offset, end) << i;
      end += bytes;
    }
    ASSERT_EQ(end, range.end()) << i;
  }
}

}  // namespace
}  // namespace espalier::detail
