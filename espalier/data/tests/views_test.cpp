// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <espalier/data/views.h>

namespace espalier::data {
namespace {

constexpr double kFloat = 1e-5;

/// Nothing changes.
constexpr ViewOptions kPlain{
    .least_area = 1.0, .aspect = 1.0, .flip = 0.0, .jitter = 0.0, .grey = 0.0};

Tensor images_of(int64_t count, int64_t channels = 3) {
  Tensor images = Tensor::empty({count, channels, 6, 8});
  Rng rng(3, "images");
  for (int64_t i = 0; i < images.numel(); ++i) images.data<float>()[i] = rng.uniform();
  return images;
}

void expect_equal(const Tensor& a, const Tensor& b, double tolerance = 0.0) {
  const auto x = a.to_vector<float>(), y = b.to_vector<float>();
  ASSERT_EQ(x.size(), y.size());
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], tolerance) << i;
}

TEST(Views, OfTheWholeImageAreTheImage) {
  const Tensor images = images_of(3);
  expect_equal(random_views(images, {}, {}, kPlain, Rng(1)), images);
  const Tensor normalized =
      random_views(images, {0.4F, 0.5F, 0.6F}, {0.2F, 0.3F, 0.25F}, kPlain, Rng(1));
  expect_equal(normalized, images, kFloat);
}

TEST(Views, AreMirrored) {
  const Tensor images = images_of(2);
  ViewOptions options = kPlain;
  options.flip = 1.0;
  const Tensor views = random_views(images, {}, {}, options, Rng(1));
  for (int64_t n = 0; n < 2; ++n) {
    for (int64_t y = 0; y < 6; ++y) {
      for (int64_t x = 0; x < 8; ++x) {
        EXPECT_EQ(views.at({n, 1, y, x}), images.at({n, 1, y, 7 - x}));
      }
    }
  }
}

// Of a ramp a window shows a part with less rise: its share of the plane is the product of both.
TEST(Views, ShowWindowsOfTheSharesThatAreAskedFor) {
  Tensor images = Tensor::empty({200, 2, 32, 32});
  for (int64_t n = 0; n < 200; ++n) {
    for (int64_t y = 0; y < 32; ++y) {
      for (int64_t x = 0; x < 32; ++x) {
        images.data<float>()[((n * 2 + 0) * 32 + y) * 32 + x] = static_cast<float>(x);
        images.data<float>()[((n * 2 + 1) * 32 + y) * 32 + x] = static_cast<float>(y);
      }
    }
  }
  ViewOptions options = kPlain;
  options.least_area = 0.2;
  options.aspect = 4.0 / 3.0;
  const Tensor views = random_views(images, {}, {}, options, Rng(5));
  double least = 1.0, largest = 0.0;
  std::set<double> lefts;
  for (int64_t n = 0; n < 200; ++n) {
    // Between inner pixels, which the border does not clamp.
    const double wide = (views.at({n, 0, 16, 20}) - views.at({n, 0, 16, 12})) / 8.0;
    const double high = (views.at({n, 1, 20, 16}) - views.at({n, 1, 12, 16})) / 8.0;
    EXPECT_LE(std::max(wide, high), 1.0 + kFloat);
    EXPECT_LE(std::max(wide / high, high / wide), 4.0 / 3.0 + 1e-4);
    least = std::min(least, wide * high);
    largest = std::max(largest, wide * high);
    lefts.insert(views.at({n, 0, 16, 16}));
  }
  EXPECT_GE(least, 0.2 - 1e-4);
  EXPECT_LT(least, 0.3);
  EXPECT_GT(largest, 0.85);
  EXPECT_GT(lefts.size(), 150U);
}

// Grey by the weights of BT.601, in the place of a normalized image's own pixels.
TEST(Views, CanBeGrey) {
  const Tensor images = images_of(1);
  ViewOptions options = kPlain;
  options.grey = 1.0;
  const Tensor views = random_views(images, {}, {}, options, Rng(1));
  for (int64_t x = 0; x < 8; ++x) {
    const double grey = 0.299 * images.at({0, 0, 2, x}) + 0.587 * images.at({0, 1, 2, x}) +
                        0.114 * images.at({0, 2, 2, x});
    for (int64_t c = 0; c < 3; ++c) EXPECT_NEAR(views.at({0, c, 2, x}), grey, kFloat);
  }
  // One channel has no colour to lose.
  const Tensor single = images_of(1, 1);
  expect_equal(random_views(single, {}, {}, options, Rng(1)), single);
}

// Colours change, and stay pixels; grey stays grey when hue and saturation change alone.
TEST(Views, ChangeColoursWithinThePixels) {
  const Tensor images = images_of(40);
  ViewOptions options = kPlain;
  options.jitter = 1.0;
  const Tensor views = random_views(images, {}, {}, options, Rng(2));
  int64_t changed = 0;
  for (int64_t i = 0; i < views.numel(); ++i) {
    EXPECT_GE(views.data<float>()[i], 0.0F);
    EXPECT_LE(views.data<float>()[i], 1.0F);
    changed += std::abs(views.data<float>()[i] - images.data<float>()[i]) > 0.01F ? 1 : 0;
  }
  EXPECT_GT(changed, views.numel() / 2);
  options.brightness = options.contrast = 0.0;
  options.hue = 0.5;
  Tensor grey = Tensor::empty({2, 3, 6, 8});
  for (int64_t i = 0; i < grey.numel(); ++i) {
    grey.data<float>()[i] = static_cast<float>(i % 48) / 48.0F;
  }
  expect_equal(random_views(grey, {}, {}, options, Rng(2)), grey, 1e-3);
}

// Brightness alone is one factor for all pixels: of a normalized image x s + m it is of the pixel.
TEST(Views, AreOfPixelsNotOfNormalizedValues) {
  ViewOptions options = kPlain;
  options.jitter = 1.0;
  options.contrast = options.saturation = options.hue = 0.0;
  const Tensor images = Tensor::full({1, 3, 6, 8}, -0.5);
  const Tensor view = random_views(images, {0.5F, 0.5F, 0.5F}, {0.5F, 0.5F, 0.5F}, options, Rng(4));
  const double factor = (view.at({0, 0, 0, 0}) * 0.5 + 0.5) / 0.25;
  EXPECT_GE(factor, 0.6);
  EXPECT_LE(factor, 1.4);
  EXPECT_GT(std::abs(factor - 1.0), 1e-3);
  expect_equal(view, Tensor::full({1, 3, 6, 8}, (0.25 * factor - 0.5) / 0.5), kFloat);
}

TEST(Views, AreFunctionsOfTheGeneratorAndTheImage) {
  const Tensor images = images_of(4);
  const Tensor all = random_views(images, {}, {}, {}, Rng(7));
  expect_equal(random_views(images.slice(0, 0, 2).contiguous(), {}, {}, {}, Rng(7)),
               all.slice(0, 0, 2).contiguous());
  expect_equal(random_views(images.to(Layout::Nchw16n), {}, {}, {}, Rng(7)), all);
  EXPECT_NE(random_views(images, {}, {}, {}, Rng(8)).to_vector<float>(), all.to_vector<float>());
  EXPECT_THROW(random_views(Tensor::ones({2, 3}), {}, {}, {}, Rng(1)), ShapeError);
  EXPECT_THROW(random_views(images, {0.5F}, {0.5F}, {}, Rng(1)), ValueError);
}

}  // namespace
}  // namespace espalier::data
