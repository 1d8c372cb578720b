// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/detail/nearest_name.h>

namespace espalier {
namespace {

using detail::edit_distance;
using detail::nearest_name;
using detail::nearest_names;

TEST(EditDistance, CountsInsertionsDeletionsAndSubstitutions) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("same", "same"), 0u);
}

TEST(EditDistance, CountsSwappedNeighboursOnce) {
  EXPECT_EQ(edit_distance("rgil", "rigl"), 1u);
  EXPECT_EQ(edit_distance("ab", "ba"), 1u);
  EXPECT_EQ(edit_distance("tarin", "train"), 1u);
  EXPECT_EQ(edit_distance("abcd", "badc"), 2u);
  EXPECT_EQ(edit_distance("ca", "abc"), 3u);  // a swap whose letters are not edited again
}

TEST(NearestName, IsTheFirstOfTheNearest) {
  EXPECT_EQ(nearest_name("gpm", {"fbs", "gmp"}), 1u);
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

TEST(NearestNames, AreTheNearestFirst) {
  const std::vector<std::string> names = {
      "layer1.0.conv3", "fc.bias", "layer1.0.conv1", "layer2.0.conv3"};
  EXPECT_EQ(nearest_names("layer1.0.conv1", names, 2),
            (std::vector<std::string>{"layer1.0.conv1", "layer1.0.conv3"}));
  EXPECT_EQ(nearest_names("layer1.0.conv1", names, 9).size(), 3u);
  EXPECT_TRUE(nearest_names(std::string(100'000, 'x'), names, 3).empty());
}

}  // namespace
}  // namespace espalier
