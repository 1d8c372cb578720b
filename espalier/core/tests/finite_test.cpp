// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/finite.h>

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <espalier/core/error.h>

#include "temporary_folder.h"

namespace espalier {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Finite, NamesTheFirstTensorAndItsIndex) {
  Tensor good = Tensor::from<float>({2, 2}, {0.0F, -1e38F, 3e38F, 1e-45F});
  Tensor bad = Tensor::from<double>({3}, {1.0, 2.0, std::nan("")});
  Tensor worse = Tensor::from<float>({2, 2}, {1.0F, -kInfinity, kInfinity, 0.0F});
  EXPECT_FALSE(find_not_finite({{"a", good}}));
  const auto found = find_not_finite({{"a", good}, {"b", worse}, {"c", bad}});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->str(), "tensor 'b' holds -inf at flat index 1");
  EXPECT_EQ(find_not_finite({{"c", bad}})->str(), "tensor 'c' holds nan at flat index 2");
}

TEST(Finite, LargeSumsAreNoInfinities) {
  const float most = std::numeric_limits<float>::max();
  EXPECT_FALSE(find_not_finite({{"a", Tensor::from<float>({3}, {most, most, most})}}));
}

TEST(Finite, IndicesAreThoseOfRowsInEveryLayout) {
  Tensor plain = Tensor::zeros({3, 2, 2, 2});
  plain.data<float>()[13] = kInfinity;
  EXPECT_EQ(find_not_finite({{"x", plain.to(Layout::Nchw16n)}})->index, 13);
}

TEST(Finite, WholeNumbersAndUndefinedTensorsHaveNone) {
  EXPECT_FALSE(find_not_finite(
      {{"a", Tensor::from<int64_t>({1}, {-1})}, {"b", Tensor()}, {"c", Tensor::zeros({0})}}));
}

TEST(Finite, ErrorsNameTheFile) {
  const std::map<std::string, Tensor> bad = {{"w", Tensor::from<float>({1}, {kInfinity})}};
  testing::expect_error<IoError>([&] { check_finite(bad, "net.plan"); },
                                 {"net.plan: tensor 'w' holds inf at flat index 0"});
}

}  // namespace
}  // namespace espalier
