// SPDX-License-Identifier: Apache-2.0
// Transforms of one image, against cases worked out by hand.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/data/augment/alternating_flip.h>
#include <espalier/data/augment/color_jitter.h>
#include <espalier/data/augment/rand_augment.h>
#include <espalier/data/augment/random_erasing.h>
#include <espalier/data/augment/rotation.h>
#include <espalier/data/detail/warp.h>

namespace espalier::data {
namespace {

using Bytes = std::vector<uint8_t>;
using Op = RandAugment::Operation;

// What an operation makes of an image of one channel.
Bytes applied(Op operation, double f, Bytes pixels, int64_t height, int64_t width) {
  TrainingImage image{pixels, {1, height, width}};
  RandAugment::apply(image, operation, f);
  return pixels;
}

Bytes changed(const Transform& transform, Bytes pixels, const ImageShape& shape, Moment moment) {
  TrainingImage image{pixels, shape};
  transform.change_image(image, moment);
  return pixels;
}

TEST(Augment, AQuarterTurnIsCounterclockwise) {
  Bytes pixels = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  TrainingImage image{pixels, {1, 3, 3}};
  detail::warp(image, detail::rotation_map(image.shape, 90.0));
  EXPECT_EQ(pixels, (Bytes{3, 6, 9, 2, 5, 8, 1, 4, 7}));
}

TEST(Augment, AnEighthOfATurnLeavesCornersBlack) {
  Bytes pixels(9, 7);
  TrainingImage image{pixels, {1, 3, 3}};
  detail::warp(image, detail::rotation_map(image.shape, 45.0));
  // The middle of a corner, sqrt(2) from the image's, comes from 1.41 beside it on an axis, which
  // is inside of 1.5; a pixel beside the middle comes from the diagonal.
  EXPECT_EQ(pixels, Bytes(9, 7));
  Bytes larger(25, 7);
  TrainingImage five{larger, {1, 5, 5}};
  detail::warp(five, detail::rotation_map(five.shape, 45.0));
  // Here a corner is 2.83 from the middle, beyond 2.5.
  EXPECT_EQ(larger[0], 0);
  EXPECT_EQ(larger[4], 0);
  EXPECT_EQ(larger[2], 7);
}

TEST(Augment, RotationsStayWithinTheirDegrees) {
  const Rotation none(0.0);
  Bytes pixels(2 * 5 * 4);
  std::iota(pixels.begin(), pixels.end(), uint8_t{1});
  EXPECT_EQ(changed(none, pixels, {2, 5, 4}, {1, 2, 3}), pixels);
  EXPECT_THROW(Rotation(-1.0), ValueError);
  EXPECT_THROW(Rotation(181.0), ValueError);
  EXPECT_THROW(Rotation(std::nan("")), ValueError);
}

// Rows lie 0.15, 0.45 and 0.75 to the right of where they are seen: the last one pixel.
TEST(Augment, ShearMovesTheLowerRows) {
  const Bytes in = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  EXPECT_EQ(applied(Op::ShearX, 1.0, in, 3, 3), (Bytes{1, 2, 3, 4, 5, 6, 8, 9, 0}));
  EXPECT_EQ(applied(Op::ShearY, 1.0, in, 3, 3), (Bytes{1, 2, 6, 4, 5, 9, 7, 8, 0}));
  EXPECT_EQ(applied(Op::Identity, 1.0, in, 3, 3), in);
}

// 150 / 331 of four pixels are 1.8, of which the whole ones count.
TEST(Augment, TranslateFillsWithBlack) {
  EXPECT_EQ(applied(Op::TranslateX, 1.0, {1, 2, 3, 4}, 1, 4), (Bytes{0, 1, 2, 3}));
  EXPECT_EQ(applied(Op::TranslateX, -1.0, {1, 2, 3, 4}, 1, 4), (Bytes{2, 3, 4, 0}));
  EXPECT_EQ(applied(Op::TranslateX, 0.5, {1, 2, 3, 4}, 1, 4), (Bytes{1, 2, 3, 4}));
  EXPECT_EQ(applied(Op::TranslateY, 1.0, {1, 2, 3, 4}, 4, 1), (Bytes{0, 1, 2, 3}));
}

TEST(Augment, FactorsBlendWithBlackMeanAndGrey) {
  EXPECT_EQ(applied(Op::Brightness, 1.0, {100, 200}, 1, 2), (Bytes{190, 255}));
  EXPECT_EQ(applied(Op::Contrast, 1.0, {0, 100, 200}, 1, 3), (Bytes{0, 100, 255}));
  EXPECT_EQ(applied(Op::Contrast, -1.0, {0, 100, 200}, 1, 3), (Bytes{90, 100, 110}));
  EXPECT_EQ(applied(Op::Color, 1.0, {0, 100, 200}, 1, 3), (Bytes{0, 100, 200}));  // grey: no colour
  Bytes red = {255, 0, 0};
  TrainingImage image{red, {3, 1, 1}};
  RandAugment::apply(image, Op::Color, -1.0);  // a tenth of the way from its grey, 0.299
  EXPECT_EQ(red, (Bytes{94, 69, 69}));
}

// The smooth middle of 130 among zeros is 5 * 130 / 13 = 50.
TEST(Augment, SharpnessBlendsWithTheSmoothImage) {
  const Bytes in = {0, 0, 0, 0, 130, 0, 0, 0, 0};
  EXPECT_EQ(applied(Op::Sharpness, -1.0, in, 3, 3), (Bytes{0, 0, 0, 0, 58, 0, 0, 0, 0}));
  EXPECT_EQ(applied(Op::Sharpness, 1.0, in, 3, 3), (Bytes{0, 0, 0, 0, 202, 0, 0, 0, 0}));
}

TEST(Augment, TonesAreThoseOfTheirTables) {
  EXPECT_EQ(applied(Op::Posterize, 0.3, {255, 1, 2}, 1, 3), (Bytes{254, 0, 2}));
  EXPECT_EQ(applied(Op::Posterize, -1.0, {0xAB, 0x0F}, 1, 2), (Bytes{0xA0, 0}));
  EXPECT_EQ(applied(Op::Posterize, 0.0, {0xAB, 0x0F}, 1, 2), (Bytes{0xAB, 0x0F}));
  EXPECT_EQ(applied(Op::Solarize, 0.5, {127, 128, 255}, 1, 3), (Bytes{127, 127, 0}));
  EXPECT_EQ(applied(Op::AutoContrast, 1.0, {50, 100, 150}, 1, 3), (Bytes{0, 127, 255}));
  EXPECT_EQ(applied(Op::AutoContrast, 1.0, {9, 9}, 1, 2), (Bytes{9, 9}));
}

TEST(Augment, EqualizeSpreadsWhatIsFrequent) {
  Bytes in(512, 10);
  std::fill(in.begin() + 256, in.end(), uint8_t{20});
  Bytes expected(512, 0);  // none is below 10, 256 are below 20: one level each
  std::fill(expected.begin() + 256, expected.end(), uint8_t{255});
  EXPECT_EQ(applied(Op::Equalize, 1.0, in, 16, 32), expected);
  EXPECT_EQ(applied(Op::Equalize, 1.0, {1, 2, 3}, 1, 3), (Bytes{1, 2, 3}));  // too few to spread
}

TEST(Augment, RandAugmentOfNoOperationsCopies) {
  const Bytes in = {1, 2, 3, 4};
  EXPECT_EQ(changed(RandAugment({.operations = 0}), in, {1, 2, 2}, {}), in);
  EXPECT_THROW(RandAugment({.operations = -1}), ValueError);
  EXPECT_THROW(RandAugment({.magnitude = 31}), ValueError);
}

TEST(Augment, RandAugmentIsAFunctionOfSeedEpochAndIndex) {
  const RandAugment transform;
  Bytes in(3 * 8 * 8);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint8_t>(i * 37 % 251);
  const Moment moment{.seed = 5, .epoch = 1, .index = 9};
  const Bytes once = changed(transform, in, {3, 8, 8}, moment);
  EXPECT_EQ(changed(transform, in, {3, 8, 8}, moment), once);
  int others = 0;
  for (int64_t i = 0; i < 20; ++i) {
    others += changed(transform, in, {3, 8, 8}, {.seed = 5, .epoch = 1, .index = 10 + i}) != once;
  }
  EXPECT_GE(others, 15);
}

TEST(Augment, ColorJitterOfBrightnessIsOneFactorForAll) {
  const ColorJitter transform({.brightness = 0.4, .contrast = 0.0, .saturation = 0.0, .hue = 0.0});
  for (int64_t i = 0; i < 50; ++i) {
    const Bytes out = changed(transform, {100, 50, 150}, {3, 1, 1}, {1, 0, i});
    EXPECT_GE(out[0], 60);
    EXPECT_LE(out[0], 140);
    EXPECT_NEAR(out[1], out[0] / 2.0, 1.0);
    EXPECT_NEAR(out[2], out[0] * 1.5, 1.5);
  }
}

TEST(Augment, ColorJitterLeavesGreyWithoutColour) {
  const ColorJitter transform({.brightness = 0.0, .contrast = 0.0, .saturation = 0.9, .hue = 0.5});
  for (int64_t i = 0; i < 20; ++i) {
    const Bytes out = changed(transform, {77, 77, 77}, {3, 1, 1}, {1, 0, i});
    for (const uint8_t value : out) EXPECT_NEAR(value, 77, 1);
  }
  EXPECT_THROW(ColorJitter({.hue = 0.6}), ValueError);
  EXPECT_THROW(ColorJitter({.brightness = -0.1}), ValueError);
}

TEST(Augment, ErasedRectanglesHaveTheSharesAskedFor) {
  const RandomErasing transform({.probability = 1.0});
  Bytes pixels(32 * 32, 3);
  for (int64_t i = 0; i < 500; ++i) {
    TrainingImage image{pixels, {1, 32, 32}};
    transform.change_image(image, {1, 0, i});
    ASSERT_EQ(image.erased.size(), 1U) << i;
    const Box& box = image.erased[0];
    EXPECT_GE(box.top, 0);
    EXPECT_GE(box.left, 0);
    EXPECT_LE(box.bottom, 32);
    EXPECT_LE(box.right, 32);
    const auto height = static_cast<double>(box.bottom - box.top);
    const auto width = static_cast<double>(box.right - box.left);
    // Sides are rounded by half a pixel at most.
    EXPECT_GE((height + 0.5) * (width + 0.5), 0.02 * 1024);
    EXPECT_LE((height - 0.5) * (width - 0.5), 0.33 * 1024);
    EXPECT_LE((height - 0.5) / (width + 0.5), 3.3);
    EXPECT_GE((height + 0.5) / (width - 0.5), 0.3);
  }
  EXPECT_EQ(pixels, Bytes(32 * 32, 3));  // set to the mean later
}

TEST(Augment, AsManyAreErasedAsTheProbabilitySays) {
  const RandomErasing transform({.probability = 0.25});
  int erased = 0;
  Bytes pixels(32 * 32);
  for (int64_t i = 0; i < 4000; ++i) {
    TrainingImage image{pixels, {1, 32, 32}};
    transform.change_image(image, {1, 0, i});
    erased += static_cast<int>(image.erased.size());
  }
  EXPECT_NEAR(erased, 1000, 137);  // five standard deviations
  EXPECT_THROW(RandomErasing({.probability = 1.5}), ValueError);
  EXPECT_THROW(RandomErasing({.least_area = 0.5, .most_area = 0.4}), ValueError);
  EXPECT_THROW(RandomErasing({.least_ratio = 0.0}), ValueError);
}

TEST(Augment, AlternatingFlipShowsBothSidesInTwoEpochs) {
  const AlternatingFlip transform;
  const Bytes in = {1, 2, 3, 4, 5, 6};
  const Bytes mirrored = {3, 2, 1, 6, 5, 4};
  int first = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    const Bytes a = changed(transform, in, {1, 2, 3}, {7, 0, i});
    const Bytes b = changed(transform, in, {1, 2, 3}, {7, 1, i});
    EXPECT_EQ(changed(transform, in, {1, 2, 3}, {7, 2, i}), a);
    EXPECT_EQ(b, a == in ? mirrored : in);
    first += a == mirrored;
  }
  EXPECT_NEAR(first, 500, 80);  // five standard deviations
}

}  // namespace
}  // namespace espalier::data
