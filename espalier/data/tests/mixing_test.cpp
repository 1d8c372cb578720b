// SPDX-License-Identifier: Apache-2.0
// Transforms of batches, lists of transforms, and what a loader makes of them.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/data/augment/cutmix.h>
#include <espalier/data/augment/list.h>
#include <espalier/data/augment/mixup.h>
#include <espalier/data/augment/one_of.h>
#include <espalier/data/detail/mixing.h>
#include <espalier/data/loader.h>
#include <espalier/data/memory_dataset.h>

namespace espalier::data {
namespace {

constexpr float kRounding = 1e-5F;

/// Sample n is all n, its label n % 3.
Batch numbered(int64_t n, const ImageShape& shape, Layout layout) {
  Tensor images = Tensor::empty({n, shape.channels, shape.height, shape.width});
  Tensor labels = Tensor::empty({n}, DType::I64);
  for (int64_t i = 0; i < n; ++i) {
    std::fill_n(images.data<float>() + i * shape.numel(), shape.numel(), static_cast<float>(i));
    labels.data<int64_t>()[i] = i % 3;
  }
  return {images.to(layout), labels};
}

std::vector<float> row(const Tensor& shares, int64_t n) {
  const float* first = shares.data<float>() + n * shares.size(1);
  return {first, first + shares.size(1)};
}

TEST(Mixing, BetaHasItsMeanAndVariance) {
  constexpr int kDraws = 20000;
  for (const double alpha : {0.2, 1.0, 4.0}) {
    double sum = 0.0;
    double squares = 0.0;
    Rng rng(1, "test");
    for (int i = 0; i < kDraws; ++i) {
      const double x = detail::draw_beta(rng, alpha);
      ASSERT_GE(x, 0.0);
      ASSERT_LE(x, 1.0);
      sum += x;
      squares += (x - 0.5) * (x - 0.5);
    }
    const double variance = 0.25 / (2.0 * alpha + 1.0);
    EXPECT_NEAR(sum / kDraws, 0.5, 5.0 * std::sqrt(variance / kDraws)) << alpha;
    EXPECT_NEAR(squares / kDraws, variance, 0.04 * variance) << alpha;
  }
  Rng rng(1, "test");
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(std::isfinite(detail::draw_beta(rng, 1e-6)));
}

TEST(Mixing, LabelsAreSharedWithTheSampleBefore) {
  Batch batch = numbered(3, {1, 1, 1}, Layout::Nchw);
  detail::mix_labels(batch, 4, 0.75);
  EXPECT_EQ(row(batch.shares, 0), (std::vector<float>{0.75F, 0, 0.25F, 0}));
  EXPECT_EQ(row(batch.shares, 1), (std::vector<float>{0.25F, 0.75F, 0, 0}));
  EXPECT_EQ(row(batch.shares, 2), (std::vector<float>{0, 0.25F, 0.75F, 0}));
  EXPECT_EQ(batch.labels.data<int64_t>()[0], 0);
  detail::mix_labels(batch, 4, 0.25);  // 0.25 of the own row, 0.75 of that before
  EXPECT_EQ(row(batch.shares, 1), (std::vector<float>{0.625F, 0.1875F, 0.1875F, 0}));
  EXPECT_EQ(batch.labels.data<int64_t>()[1], 0);  // the larger part
}

TEST(Mixing, MixupFadesIntoTheSampleBefore) {
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    Batch batch = numbered(20, {2, 3, 3}, layout);
    Mixup(1.0).change_batch(batch, 3, {.seed = 3, .epoch = 1, .index = 2});
    const Tensor images = batch.images.to(Layout::Nchw).contiguous();
    const float share = images.data<float>()[18];  // sample 1: share * 1 + (1 - share) * 0
    ASSERT_GT(share, 0.0F);
    ASSERT_LT(share, 1.0F);
    for (int64_t n = 0; n < 20; ++n) {
      const auto before = static_cast<float>((n + 19) % 20);
      for (int64_t i = 0; i < 18; ++i) {
        EXPECT_NEAR(images.data<float>()[n * 18 + i],
                    share * static_cast<float>(n) + (1.0F - share) * before,
                    20 * kRounding);
      }
    }
    EXPECT_NEAR(row(batch.shares, 1)[1], share, kRounding);
    EXPECT_NEAR(row(batch.shares, 1)[0], 1.0F - share, kRounding);
  }
}

TEST(Mixing, CutMixTakesARectangleAndItsShareOfTheLabel) {
  int mixed = 0;
  for (int64_t moment = 0; moment < 20; ++moment) {
    Batch batch = numbered(18, {1, 8, 8}, moment % 2 == 0 ? Layout::Nchw : Layout::Nchw16n);
    CutMix().change_batch(batch, 3, {.seed = 3, .epoch = 0, .index = moment});
    const Tensor images = batch.images.to(Layout::Nchw).contiguous();
    const float* sample = images.data<float>() + 4 * 64;  // its label is 1, that before has 0
    int64_t taken = 0;
    int64_t top = 8, left = 8, bottom = 0, right = 0;
    for (int64_t i = 0; i < 64; ++i) {
      if (sample[i] == 4.0F) continue;
      ASSERT_EQ(sample[i], 3.0F);
      ++taken;
      top = std::min(top, i / 8);
      left = std::min(left, i % 8);
      bottom = std::max(bottom, i / 8 + 1);
      right = std::max(right, i % 8 + 1);
    }
    EXPECT_EQ(taken, std::max<int64_t>(bottom - top, 0) * std::max<int64_t>(right - left, 0));
    EXPECT_NEAR(row(batch.shares, 4)[0], static_cast<float>(taken) / 64.0F, kRounding);
    EXPECT_NEAR(row(batch.shares, 4)[1], 1.0F - static_cast<float>(taken) / 64.0F, kRounding);
    mixed += taken > 0;
  }
  EXPECT_GE(mixed, 10);
}

TEST(Mixing, TheRectangleHasHalfTheSidesForAQuarterOfTheImage) {
  EXPECT_EQ(CutMix::box_of({3, 8, 8}, 0.75, 4, 4), (Box{2, 2, 6, 6}));
  EXPECT_EQ(CutMix::box_of({3, 10, 8}, 0.75, 0, 7), (Box{0, 5, 2, 8}));
  EXPECT_TRUE(CutMix::box_of({3, 8, 8}, 1.0, 4, 4).empty());
  EXPECT_EQ(CutMix::box_of({3, 8, 8}, 0.0, 4, 4), (Box{0, 0, 8, 8}));
}

TEST(Mixing, AlphaIsAboveZero) {
  EXPECT_THROW(Mixup(0.0), ValueError);
  EXPECT_THROW(CutMix(-1.0), ValueError);
  EXPECT_THROW(Mixup(std::nan("")), ValueError);
}

TEST(Augments, NamesAreReadAsTheyAlwaysWere) {
  const ImageShape shape{3, 32, 32};
  const Augments standard = read_augments("standard", shape, true);
  EXPECT_EQ(standard.placement.crop_padding, 4);
  EXPECT_TRUE(standard.placement.horizontal_flip);
  EXPECT_EQ(standard.placement.cutout, 0);
  EXPECT_TRUE(standard.transforms.empty());
  EXPECT_FALSE(read_augments("standard", shape, false).placement.horizontal_flip);
  EXPECT_EQ(read_augments("standard+cutout", shape, true).placement.cutout, 16);
  const Augments none = read_augments("none", shape, true);
  EXPECT_EQ(none.placement.crop_padding, 0);
  EXPECT_FALSE(none.placement.horizontal_flip);
}

TEST(Augments, AListKeepsItsOrderAndTakesNumbers) {
  const Augments out = read_augments(
      "crop=2,erasing=1,alternating-flip,cutmix,rotation=5,mixup=0.4", {3, 32, 32}, true);
  EXPECT_EQ(out.placement.crop_padding, 2);
  EXPECT_FALSE(out.placement.horizontal_flip);
  ASSERT_EQ(out.transforms.size(), 4U);
  EXPECT_EQ(out.transforms[0]->name(), "erasing");
  EXPECT_EQ(out.transforms[1]->name(), "alternating-flip");
  EXPECT_EQ(out.transforms[2]->name(), "rotation");
  EXPECT_EQ(out.transforms[3]->name(), "cutmix|mixup");
}

TEST(Augments, WhatMakesNoSenseIsRefused) {
  for (const char* text : {"",
                           "typo",
                           "crop,crop",
                           "none,crop",
                           "crop=x",
                           "crop=-1",
                           "crop=1.5",
                           "flip=2",
                           "mixup=0",
                           "rand-augment=31",
                           "rand-augment=2.5"}) {
    EXPECT_THROW(read_augments(text, {3, 32, 32}, true), ValueError) << text;
  }
  try {
    read_augments("typo", {3, 32, 32}, true);
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("cutmix"), std::string::npos) << error.what();
  }
}

/// Inverts every pixel, as a user's own transform would.
class Negative final : public Transform {
 public:
  std::string name() const override { return "test-negative"; }
  void change_image(TrainingImage& image, const Moment&) const override {
    for (uint8_t& pixel : image.pixels) pixel = static_cast<uint8_t>(255 - pixel);
  }
};

std::shared_ptr<const Dataset> dataset() {
  constexpr int64_t kSize = 40;
  MemoryContent content{.name = "test",
                        .shape = {3, 8, 8},
                        .pixels = {},
                        .labels = {},
                        .class_names = {"a", "b", "c"},
                        .mean = {0, 0, 0},
                        .stddev = {1, 1, 1}};
  for (int64_t i = 0; i < kSize; ++i) {
    content.labels.push_back(static_cast<uint8_t>(i % 3));
    for (int64_t p = 0; p < 192; ++p) content.pixels.push_back(static_cast<uint8_t>(i * 5 + p));
  }
  return std::make_shared<MemoryDataset>(std::move(content));
}

TEST(Augments, AProgramAddsItsOwn) {
  const NamedTransform negative{
      "test-negative", "inverts", 0.0, [](double) { return std::make_shared<Negative>(); }};
  register_transform(negative);
  EXPECT_THROW(register_transform(negative), ValueError);
  EXPECT_THROW(register_transform({"crop", "", 0.0, negative.make}), ValueError);
  EXPECT_THROW(register_transform({"a,b", "", 0.0, negative.make}), ValueError);
  Loader loader(
      dataset(),
      {.batch_size = 1, .transforms = read_augments("test-negative", {3, 8, 8}, true).transforms});
  loader.start_epoch(0);
  const Batch first = *loader.next();
  EXPECT_FLOAT_EQ(first.images.to(Layout::Nchw).contiguous().data<float>()[1], 254.0F / 255.0F);
}

// Every transform at once.
LoaderOptions all(int workers) {
  LoaderOptions options{.batch_size = 16, .shuffle = true, .seed = 4, .workers = workers};
  const Augments changes = read_augments(
      "standard+cutout,alternating-flip,rotation,color-jitter,rand-augment,erasing,mixup,cutmix",
      {3, 8, 8},
      true);
  options.augmentation = changes.placement;
  options.transforms = changes.transforms;
  return options;
}

std::vector<float> values(Loader& loader, int64_t epoch, int64_t first_batch) {
  std::vector<float> out;
  loader.start_epoch(epoch, first_batch);
  while (const std::optional<Batch> batch = loader.next()) {
    const Tensor images = batch->images.to(Layout::Nchw).contiguous();
    out.insert(out.end(), images.data<float>(), images.data<float>() + images.numel());
    out.insert(out.end(),
               batch->shares.data<float>(),
               batch->shares.data<float>() + batch->shares.numel());
  }
  return out;
}

TEST(Augments, BatchesDoNotDependOnWorkersAndResume) {
  Loader alone(dataset(), all(0));
  Loader many(dataset(), all(5));
  const std::vector<float> whole = values(alone, 2, 0);
  EXPECT_EQ(values(many, 2, 0), whole);
  const std::vector<float> rest = values(many, 2, 1);
  EXPECT_TRUE(std::equal(rest.rbegin(), rest.rend(), whole.rbegin()));
  EXPECT_NE(values(alone, 3, 0), whole);
}

TEST(Augments, ATransformIsThereOnceAndNotOfNull) {
  LoaderOptions options;
  options.transforms = {std::make_shared<Mixup>(), std::make_shared<Mixup>()};
  EXPECT_THROW(Loader(dataset(), options), ValueError);
  options.transforms = {nullptr};
  EXPECT_THROW(Loader(dataset(), options), ValueError);
  EXPECT_THROW(OneOf({}), ValueError);
}

TEST(Augments, ShareRowsAddUpToOne) {
  Loader loader(dataset(), all(0));
  loader.start_epoch(0);
  while (const std::optional<Batch> batch = loader.next()) {
    ASSERT_EQ(batch->shares.shape(), (Shape{batch->size(), 3}));
    for (int64_t n = 0; n < batch->size(); ++n) {
      const std::vector<float> shares = row(batch->shares, n);
      EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0F), 1.0F, kRounding);
    }
  }
}

}  // namespace
}  // namespace espalier::data
