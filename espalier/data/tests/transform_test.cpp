// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/transform.h>

#include <map>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/core/error.h>

namespace espalier::data {
namespace {

constexpr ImageShape kShape{1, 2, 3};

std::vector<uint8_t> placed(const Placement& placement) {
  const std::vector<uint8_t> in = {1, 2, 3, 4, 5, 6};  // 1 2 3 / 4 5 6
  std::vector<uint8_t> out(6, 99);
  crop_and_mirror(in, kShape, placement, out);
  return out;
}

using Bytes = std::vector<uint8_t>;

TEST(Transform, NoPlacementCopies) {
  EXPECT_EQ(placed({}), (Bytes{1, 2, 3, 4, 5, 6}));
}

TEST(Transform, ShiftMovesTheWindowAndPadsWithZeros) {
  EXPECT_EQ(placed({.shift_y = 1}), (Bytes{4, 5, 6, 0, 0, 0}));
  EXPECT_EQ(placed({.shift_y = -1}), (Bytes{0, 0, 0, 1, 2, 3}));
  EXPECT_EQ(placed({.shift_x = 1}), (Bytes{2, 3, 0, 5, 6, 0}));
  EXPECT_EQ(placed({.shift_x = -2}), (Bytes{0, 0, 1, 0, 0, 4}));
}

TEST(Transform, ShiftBeyondTheImageGivesZeros) {
  for (const int64_t shift : {-9, -3, 3, 9}) {
    EXPECT_EQ(placed({.shift_x = shift}), Bytes(6, 0)) << shift;
    EXPECT_EQ(placed({.shift_y = shift}), Bytes(6, 0)) << shift;
  }
}

TEST(Transform, MirrorComesAfterTheShift) {
  EXPECT_EQ(placed({.mirror = true}), (Bytes{3, 2, 1, 6, 5, 4}));
  EXPECT_EQ(placed({.shift_x = 1, .mirror = true}), (Bytes{0, 3, 2, 0, 6, 5}));
}

TEST(Transform, PlanesAreMovedAlike) {
  std::vector<uint8_t> in(12);
  std::iota(in.begin(), in.end(), uint8_t{1});
  std::vector<uint8_t> out(12);
  crop_and_mirror(in, {2, 2, 3}, {.shift_y = 1, .shift_x = -1}, out);
  EXPECT_EQ(out, (Bytes{0, 4, 5, 0, 0, 0, 0, 10, 11, 0, 0, 0}));
}

TEST(Transform, DrawsEveryShiftAboutEquallyOften) {
  std::map<std::pair<int64_t, int64_t>, int> seen;
  constexpr int kDraws = 25 * 400;
  for (int64_t i = 0; i < kDraws; ++i) {
    const Placement p = draw_placement({.crop_padding = 2}, {3, 32, 32}, 1, 0, i);
    EXPECT_LE(std::abs(p.shift_y), 2);
    EXPECT_LE(std::abs(p.shift_x), 2);
    EXPECT_FALSE(p.mirror);
    EXPECT_TRUE(p.cutout.empty());
    ++seen[{p.shift_y, p.shift_x}];
  }
  EXPECT_EQ(seen.size(), 25u);
  // 400 expected with standard deviation 19.6: five of them.
  for (const auto& [shift, count] : seen) EXPECT_NEAR(count, 400, 98);
}

TEST(Transform, MirrorsHalfOfTheImages) {
  int mirrored = 0;
  for (int64_t i = 0; i < 10000; ++i) {
    mirrored += draw_placement({.horizontal_flip = true}, {3, 32, 32}, 1, 0, i).mirror;
  }
  EXPECT_NEAR(mirrored, 5000, 250);  // five standard deviations
}

TEST(Transform, DependsOnSeedEpochAndSampleOnly) {
  const Augmentation all{.crop_padding = 4, .horizontal_flip = true, .cutout = 8};
  const ImageShape shape{3, 32, 32};
  int differs_by_seed = 0, differs_by_epoch = 0, differs_by_sample = 0;
  for (int64_t i = 0; i < 100; ++i) {
    const Placement p = draw_placement(all, shape, 1, 2, i);
    EXPECT_EQ(p, draw_placement(all, shape, 1, 2, i));
    differs_by_seed += !(p == draw_placement(all, shape, 2, 2, i));
    differs_by_epoch += !(p == draw_placement(all, shape, 1, 3, i));
    differs_by_sample += !(p == draw_placement(all, shape, 1, 2, i + 1));
  }
  EXPECT_GT(differs_by_seed, 90);
  EXPECT_GT(differs_by_epoch, 90);
  EXPECT_GT(differs_by_sample, 90);
}

TEST(Transform, OneKindOfChangeDoesNotShiftAnother) {
  const ImageShape shape{3, 32, 32};
  for (int64_t i = 0; i < 50; ++i) {
    const Placement all =
        draw_placement({.crop_padding = 4, .horizontal_flip = true, .cutout = 8}, shape, 1, 0, i);
    const Placement crop = draw_placement({.crop_padding = 4}, shape, 1, 0, i);
    const Placement flip = draw_placement({.horizontal_flip = true}, shape, 1, 0, i);
    const Placement cut = draw_placement({.cutout = 8}, shape, 1, 0, i);
    EXPECT_EQ(all.shift_y, crop.shift_y);
    EXPECT_EQ(all.shift_x, crop.shift_x);
    EXPECT_EQ(all.mirror, flip.mirror);
    EXPECT_EQ(all.cutout, cut.cutout);
  }
}

TEST(Transform, CutoutStaysInsideAndIsClippedAtTheBorder) {
  bool clipped = false, whole = false;
  for (int64_t i = 0; i < 200; ++i) {
    const Box box = draw_placement({.cutout = 8}, {3, 32, 32}, 1, 0, i).cutout;
    EXPECT_GE(box.top, 0);
    EXPECT_GE(box.left, 0);
    EXPECT_LE(box.bottom, 32);
    EXPECT_LE(box.right, 32);
    const int64_t height = box.bottom - box.top, width = box.right - box.left;
    EXPECT_GE(height, 4);
    EXPECT_LE(height, 8);
    clipped |= height < 8 || width < 8;
    whole |= height == 8 && width == 8;
  }
  EXPECT_TRUE(clipped);
  EXPECT_TRUE(whole);
}

TEST(Transform, RejectsNegativeSettings) {
  EXPECT_THROW(draw_placement({.crop_padding = -1}, {3, 32, 32}, 0, 0, 0), ValueError);
  EXPECT_THROW(draw_placement({.cutout = -1}, {3, 32, 32}, 0, 0, 0), ValueError);
}

}  // namespace
}  // namespace espalier::data
