// SPDX-License-Identifier: Apache-2.0
#include <set>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/prune/patterns/block.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {
namespace {

std::vector<int64_t> units_of(const std::string& name, const Shape& shape) {
  const Units units = make_pattern(name)->units(shape);
  std::vector<int64_t> of_weight;
  for (int64_t i = 0; i < shape.numel(); ++i) of_weight.push_back(units.unit(i));
  return of_weight;
}

TEST(Pattern, UnstructuredHasAUnitPerWeight) {
  EXPECT_EQ(units_of("unstructured", {2, 2}), (std::vector<int64_t>{0, 1, 2, 3}));
}

TEST(Pattern, BlocksRunAlongOutputChannels) {
  // (5,2): rows 0..3 are one block per column, row 4 is a smaller one.
  EXPECT_EQ(units_of("4x1", {5, 2}), (std::vector<int64_t>{0, 1, 0, 1, 0, 1, 0, 1, 2, 3}));
  EXPECT_EQ(units_of("2x2", {2, 4}), (std::vector<int64_t>{0, 0, 1, 1, 0, 0, 1, 1}));
}

TEST(Pattern, KernelStripeFilterAndLayerAreBoxes) {
  const Shape shape{2, 2, 1, 2};
  EXPECT_EQ(units_of("kernel", shape), (std::vector<int64_t>{0, 0, 1, 1, 2, 2, 3, 3}));
  EXPECT_EQ(units_of("stripe", shape), (std::vector<int64_t>{0, 1, 0, 1, 2, 3, 2, 3}));
  EXPECT_EQ(units_of("filter", shape), (std::vector<int64_t>{0, 0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(units_of("layer", shape), (std::vector<int64_t>(8, 0)));
}

TEST(Pattern, NMCellsRunAlongInputChannels) {
  // One filter, 4 inputs, 2 taps: tap 0 is units 0..3 and tap 1 is units 4..7.
  EXPECT_EQ(units_of("2:4", {1, 4, 1, 2}), (std::vector<int64_t>{0, 4, 1, 5, 2, 6, 3, 7}));
  EXPECT_EQ(make_pattern("2:4")->cell().keep, 2);
  EXPECT_EQ(make_pattern("1:8")->cell().size, 8);
}

TEST(Pattern, GroupedNMSharesUnitsBetweenOutputs) {
  EXPECT_EQ(units_of("2:4g2", {3, 4}), (std::vector<int64_t>{0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(Pattern, NMRefusesInputsThatDoNotDivide) {
  EXPECT_FALSE(make_pattern("2:4")->refusal({16, 3, 3, 3}).empty());
  EXPECT_TRUE(make_pattern("2:4")->refusal({16, 8, 3, 3}).empty());
  EXPECT_THROW(make_pattern("2:4")->units({16, 3, 3, 3}), ShapeError);
}

TEST(Pattern, EveryWeightHasAUnitAndEveryUnitAWeight) {
  for (const std::string& name : pattern_names()) {
    const Shape shape{6, 8, 3, 3};
    const Units units = make_pattern(name)->units(shape);
    std::set<int64_t> seen;
    for (int64_t i = 0; i < shape.numel(); ++i) seen.insert(units.unit(i));
    EXPECT_EQ(static_cast<int64_t>(seen.size()), units.count) << name;
    EXPECT_EQ(*seen.begin(), 0) << name;
    EXPECT_EQ(*seen.rbegin(), units.count - 1) << name;
  }
}

TEST(Pattern, NamesReadBack) {
  for (const std::string& name : pattern_names()) EXPECT_EQ(make_pattern(name)->name(), name);
  for (const char* name : {"16x1", "1:4", "4:8g8"}) EXPECT_EQ(make_pattern(name)->name(), name);
}

TEST(Pattern, RefusesUnknownNames) {
  for (const char* name : {"", "5:4", "4:4", "0:4", "2:4g", "2:4x", "x1", "4x", "4x1x1", "2;4"}) {
    EXPECT_THROW(make_pattern(name), ValueError) << name;
  }
}

}  // namespace
}  // namespace espalier::prune
