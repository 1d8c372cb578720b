// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/bfloat16.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/core/parallel.h>
#include <espalier/core/random.h>

namespace espalier {
namespace {

float of_bits(uint32_t bits) {
  return std::bit_cast<float>(bits);
}

uint16_t round_one(float value) {
  uint16_t out = 0;
  to_bfloat16(&value, 1, &out);
  return out;
}

float widen_one(uint16_t bits) {
  float out = 0;
  from_bfloat16(&bits, 1, &out);
  return out;
}

TEST(BFloat16, RoundsToTheNearestAndTiesToTheEven) {
  EXPECT_EQ(round_one(1.0f), 0x3f80);
  EXPECT_EQ(round_one(-2.0f), 0xc000);
  EXPECT_EQ(round_one(0.0f), 0x0000);
  EXPECT_EQ(round_one(-0.0f), 0x8000);
  // 1 + 2^-8 lies between 1 and 1 + 2^-7, 1 + 3*2^-8 between 1 + 2^-7 and 1 + 2^-6.
  EXPECT_EQ(round_one(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(round_one(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_EQ(round_one(of_bits(0x3f808001)), 0x3f81) << "just above the middle";
  EXPECT_EQ(round_one(of_bits(0x3f817fff)), 0x3f81) << "just below it";
}

TEST(BFloat16, KeepsInfinitiesAndNaNs) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(round_one(infinity), 0x7f80);
  EXPECT_EQ(round_one(-infinity), 0xff80);
  EXPECT_EQ(round_one(std::numeric_limits<float>::max()), 0x7f80) << "nearer to infinity";
  for (const uint32_t nan : {0x7fc00000u, 0x7f800001u, 0xffffffffu, 0x7fffffffu}) {
    EXPECT_TRUE(std::isnan(widen_one(round_one(of_bits(nan))))) << nan;
  }
}

TEST(BFloat16, EveryValueComesBackAsItself) {
  std::vector<uint16_t> all(1 << 16), again(1 << 16);
  std::vector<float> wide(1 << 16);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  from_bfloat16(all.data(), 1 << 16, wide.data());
  to_bfloat16(wide.data(), 1 << 16, again.data());
  for (size_t i = 0; i < all.size(); ++i) {
    if (std::isnan(wide[i])) continue;
    ASSERT_EQ(again[i], all[i]);
  }
}

TEST(BFloat16, ErrsByAtMostOneIn256AndTheSameOnAnyNumberOfThreads) {
  constexpr int64_t n = 100003;
  std::vector<float> values(n), wide(n);
  std::vector<uint16_t> one(n), seven(n);
  Rng rng(1, "bfloat16");
  for (float& v : values) v = static_cast<float>(std::exp(40.0 * (rng.uniform64() - 0.5)));
  set_num_threads(1);
  to_bfloat16(values.data(), n, one.data());
  set_num_threads(7);
  to_bfloat16(values.data(), n, seven.data());
  set_num_threads(0);
  EXPECT_EQ(one, seven);
  from_bfloat16(one.data(), n, wide.data());
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_LE(std::abs(wide[i] - values[i]), values[i] / 256) << values[i];
  }
}

}  // namespace
}  // namespace espalier
