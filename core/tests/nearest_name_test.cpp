// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/detail/nearest_name.h>

namespace espalier {
namespace {

using detail::edit_distance;
using detail::nearest_name;

TEST(EditDistance, CountsInsertionsDeletionsAndSubstitutions) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("same", "same"), 0u);
}

TEST(NearestName, IsTheFirstOfTheNearest) {
  EXPECT_EQ(nearest_name("sparsty", {"scope", "sparsity", "sparsify"}), 1u);
  EXPECT_EQ(nearest_name("resnet21", {"resnet20", "resnet2"}), 0u);
}

TEST(NearestName, IsNothingWhenAllDifferInMoreThanAThird) {
  EXPECT_EQ(nearest_name("foo", {"fbs", "vit"}), std::nullopt);
  EXPECT_EQ(nearest_name("abcdef", {"abcdxy"}), 0u);
  EXPECT_EQ(nearest_name("abcdef", {"abcxyz"}), std::nullopt);
  EXPECT_EQ(nearest_name("foo", {}), std::nullopt);
}

TEST(NearestName, OfShortNamesMayDifferInOneCharacter) {
  EXPECT_EQ(nearest_name("s", {"lr", "x"}), 1u);
  EXPECT_EQ(nearest_name("gm", {"gmp"}), 0u);
}

}  // namespace
}  // namespace espalier
