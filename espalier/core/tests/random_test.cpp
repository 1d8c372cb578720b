// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>

#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

namespace espalier {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers published with the algorithm (Salmon et al. 2011, Random123's kat_vectors).
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, DrawsTheWordsOfItsCounterInOrder) {
  Rng rng(0x299f31d0a4093822ull, 0x0370734413198a2eull);
  for (uint32_t block = 0; block < 3; ++block) {
    const Words words = philox4x32({block, 0, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0});
    for (const uint32_t word : words) EXPECT_EQ(rng.next_u32(), word);
  }
}

TEST(Rng, ContinuesFromASavedStateAnywhere) {
  for (int drawn = 0; drawn < 9; ++drawn) {
    Rng rng(7, "test");
    for (int i = 0; i < drawn; ++i) rng.next_u32();
    Rng copy(rng.state());
    for (int i = 0; i < 9; ++i) EXPECT_EQ(copy.next_u32(), rng.next_u32()) << drawn;
    EXPECT_EQ(copy.state(), rng.state());
  }
}

TEST(Rng, DiffersBetweenSeedsPurposesAndForks) {
  std::set<uint64_t> first;
  for (Rng rng : {Rng(1, "init"),
                  Rng(2, "init"),
                  Rng(1, "data"),
                  Rng(1, "init").fork(0),
                  Rng(1, "init").fork(1),
                  Rng(1, "data").fork(0)}) {
    first.insert(uint64_t{rng.next_u32()} << 32 | rng.next_u32());
  }
  EXPECT_EQ(first.size(), 6u);
}

TEST(Rng, ForkDoesNotDependOnWhatWasDrawn) {
  Rng rng(3, "test");
  Rng before = rng.fork(5);
  rng.next_u32();
  Rng after = rng.fork(5);
  EXPECT_EQ(before.next_u32(), after.next_u32());
}

TEST(Rng, UniformStaysInItsRangeAndHasItsMoments) {
  constexpr int kDraws = 100000;
  Rng rng(1, "test");
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = i % 2 == 0 ? static_cast<double>(rng.uniform()) : rng.uniform64();
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    sum += x;
    squares += x * x;
  }
  // Five standard errors of the mean of x (1/sqrt(12 n)) and of x^2 (sqrt(4/45/n)).
  EXPECT_NEAR(sum / kDraws, 0.5, 5 / std::sqrt(12.0 * kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kDraws));
}

TEST(Rng, NormalHasItsMoments) {
  constexpr int kDraws = 100000;
  Rng rng(1, "test");
  double sum = 0;
  double squares = 0;
  double fourth = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.normal();
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 5 / std::sqrt(1.0 * kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0, 5 * std::sqrt(2.0 / kDraws));
  EXPECT_NEAR(fourth / kDraws, 3.0, 5 * std::sqrt(96.0 / kDraws));
}

TEST(Rng, BelowIsEvenAndInRange) {
  Rng rng(1, "test");
  std::array<int, 7> count{};
  constexpr int kDraws = 70000;
  for (int i = 0; i < kDraws; ++i) ++count.at(rng.below(7));
  for (const int c : count) EXPECT_NEAR(c, kDraws / 7, 5 * std::sqrt(kDraws / 7.0));
  EXPECT_EQ(rng.below(1), 0u);
  EXPECT_LT(rng.below(~0ull), ~0ull);
  EXPECT_THROW(rng.below(0), ValueError);
}

TEST(Rng, PermutationHoldsEveryIndexOnceAndEveryOrderOccurs) {
  Rng rng(1, "test");
  EXPECT_TRUE(rng.permutation(0).empty());
  std::set<std::vector<int64_t>> orders;
  for (int i = 0; i < 200; ++i) {
    std::vector<int64_t> order = rng.permutation(4);
    orders.insert(order);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, (std::vector<int64_t>{0, 1, 2, 3}));
  }
  EXPECT_EQ(orders.size(), 24u);
}

TEST(Fill, IsTheSequenceOfTheGeneratorOnAnyThreadCount) {
  // More than one range of the parallel loop, from a position inside of a block of four words.
  const int64_t count = 20001;
  const int threads = num_threads();
  for (const int n : {1, 3}) {
    set_num_threads(n);
    Rng filler(9, "fill");
    Rng drawer(9, "fill");
    filler.next_u32();
    drawer.next_u32();
    Tensor normal = Tensor::empty({count}, DType::F64);
    fill_normal_(normal, filler, 1.0, 2.0);
    Tensor uniform = Tensor::empty({count}, DType::F64);
    fill_uniform_(uniform, filler, -1.0, 3.0);
    std::vector<double> expected_normal, expected_uniform;
    for (int64_t i = 0; i < count; ++i) expected_normal.push_back(1.0 + 2.0 * drawer.normal());
    for (int64_t i = 0; i < count; ++i) expected_uniform.push_back(drawer.uniform(-1.0, 3.0));
    EXPECT_EQ(normal.to_vector<double>(), expected_normal);
    EXPECT_EQ(uniform.to_vector<double>(), expected_uniform);
    EXPECT_EQ(filler.state(), drawer.state());
  }
  set_num_threads(threads);
}

TEST(Fill, GivesTheSameValuesInEveryLayout) {
  for (const bool normal : {false, true}) {
    Tensor plain = Tensor::empty({17, 3});
    Tensor lanes = Tensor::empty({17, 3}, DType::F32, Layout::Nchw16n);
    for (Tensor* t : {&plain, &lanes}) {
      Rng rng(1, "test");
      normal ? fill_normal_(*t, rng, 1.0, 2.0) : fill_uniform_(*t, rng, -1.0, 1.0);
    }
    EXPECT_EQ(plain.to_vector<float>(), lanes.to_vector<float>());
  }
  Tensor integers = Tensor::empty({2}, DType::I32);
  Rng rng(1, "test");
  EXPECT_THROW(fill_uniform_(integers, rng), TypeError);
}

}  // namespace
}  // namespace espalier
