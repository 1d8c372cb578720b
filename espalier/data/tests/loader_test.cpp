// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/loader.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/data/memory_dataset.h>

namespace espalier::data {
namespace {

constexpr float kFloatTol = 1e-6f;

// `size` pictures of 2x3x4 whose pixels tell the sample and the position: (7 sample + position) mod
// 256.
std::shared_ptr<const Dataset> numbered(int64_t size) {
  MemoryContent content{.name = "numbered",
                        .shape = {2, 3, 4},
                        .pixels = {},
                        .labels = {},
                        .class_names = {"a", "b", "c"},
                        .mean = {0.5f, 0.25f},
                        .stddev = {0.5f, 2.0f}};
  for (int64_t i = 0; i < size; ++i) {
    content.labels.push_back(static_cast<uint8_t>(i % 3));
    for (int64_t p = 0; p < 24; ++p) content.pixels.push_back(static_cast<uint8_t>(7 * i + p));
  }
  return std::make_shared<MemoryDataset>(std::move(content));
}

std::vector<Batch> epoch_of(Loader& loader, int64_t epoch, int64_t first = 0) {
  std::vector<Batch> out;
  loader.start_epoch(epoch, first);
  while (auto batch = loader.next()) out.push_back(std::move(*batch));
  return out;
}

// The bytes of a batch, padding lanes included.
std::vector<float> bits(const Batch& batch) {
  const float* data = batch.images.data<float>();
  return {data, data + batch.images.physical_numel()};
}

void expect_same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(bits(a[i]), bits(b[i])) << "batch " << i;
    EXPECT_EQ(a[i].labels.to_vector<int64_t>(), b[i].labels.to_vector<int64_t>()) << "batch " << i;
  }
}

LoaderOptions training_options() {
  LoaderOptions options;
  options.batch_size = 18;
  options.shuffle = true;
  options.augmentation = {.crop_padding = 2, .horizontal_flip = true, .cutout = 2};
  options.seed = 5;
  return options;
}

TEST(Loader, NormalizesEveryPixelInBothLayouts) {
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    LoaderOptions options;
    options.batch_size = 17;
    options.layout = layout;
    Loader loader(numbered(17), options);
    const auto batches = epoch_of(loader, 0);
    ASSERT_EQ(batches.size(), 1u);
    EXPECT_EQ(batches[0].images.layout(), layout);
    ASSERT_EQ(batches[0].images.shape(), (Shape{17, 2, 3, 4}));
    const auto values = batches[0].images.to_vector<float>();
    for (int64_t i = 0; i < 17; ++i) {
      for (int64_t p = 0; p < 24; ++p) {
        const double pixel = static_cast<double>((7 * i + p) % 256) / 255.0;
        const double expected = p < 12 ? (pixel - 0.5) / 0.5 : (pixel - 0.25) / 2.0;
        EXPECT_NEAR(values[static_cast<size_t>(i * 24 + p)], expected, kFloatTol);
      }
    }
  }
}

TEST(Loader, PaddingLanesAreZeroForEveryBatchSize) {
  for (const int64_t n : {1, 15, 16, 17, 31}) {
    LoaderOptions options = training_options();
    options.batch_size = n;
    Loader loader(numbered(n), options);
    const auto batches = epoch_of(loader, 0);
    ASSERT_EQ(batches.size(), 1u);
    const Tensor physical = batches[0].images.physical();
    const auto values = physical.to_vector<float>();
    const int64_t blocks = physical.size(0);
    ASSERT_EQ(blocks, lane_blocks(n));
    for (int64_t block = 0; block < blocks; ++block) {
      for (int64_t p = 0; p < 24; ++p) {
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          if (block * kLanes + lane < n) continue;
          EXPECT_EQ(values[static_cast<size_t>((block * 24 + p) * kLanes + lane)], 0.0f);
        }
      }
    }
  }
}

TEST(Loader, LayoutsHoldTheSameValues) {
  LoaderOptions options = training_options();
  Loader lanes(numbered(50), options);
  options.layout = Layout::Nchw;
  Loader plain(numbered(50), options);
  const auto a = epoch_of(lanes, 1);
  const auto b = epoch_of(plain, 1);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].images.to_vector<float>(), b[i].images.to_vector<float>());
  }
}

TEST(Loader, BatchesDoNotDependOnWorkersOrPrefetch) {
  LoaderOptions options = training_options();
  options.workers = 0;
  Loader reference(numbered(200), options);
  const auto expected = epoch_of(reference, 3);
  for (const auto& [workers, prefetch] : {std::pair{1, 1}, {1, 4}, {3, 2}, {8, 16}}) {
    options.workers = workers;
    options.prefetch = prefetch;
    Loader loader(numbered(200), options);
    expect_same(epoch_of(loader, 3), expected);
  }
}

TEST(Loader, ResumesInTheMiddleOfAnEpoch) {
  LoaderOptions options = training_options();
  options.workers = 2;
  Loader loader(numbered(100), options);
  const auto whole = epoch_of(loader, 2);
  Loader other(numbered(100), options);
  for (int64_t first = 0; first <= loader.batches(); ++first) {
    expect_same(epoch_of(other, 2, first), {whole.begin() + first, whole.end()});
  }
}

TEST(Loader, RestartingDropsWhatWasMadeAhead) {
  LoaderOptions options = training_options();
  options.workers = 3;
  Loader loader(numbered(150), options);
  const auto expected = epoch_of(loader, 7);
  for (int round = 0; round < 20; ++round) {
    loader.start_epoch(round);
    for (int i = 0; i < round % 4; ++i) ASSERT_TRUE(loader.next().has_value());
    expect_same(epoch_of(loader, 7), expected);
  }
}

TEST(Loader, ShufflingVisitsEverySampleOnceAndChangesWithEpochAndSeed) {
  LoaderOptions options;
  options.batch_size = 7;
  options.shuffle = true;
  std::set<std::vector<float>> orders;
  for (const uint64_t seed : {1u, 2u}) {
    options.seed = seed;
    Loader loader(numbered(36), options);  // the first pixels of 36 samples are distinct bytes
    for (const int64_t epoch : {0, 1}) {
      std::vector<float> firsts;
      for (const Batch& batch : epoch_of(loader, epoch)) {
        for (int64_t i = 0; i < batch.size(); ++i) {
          firsts.push_back(static_cast<float>(batch.images.at({i, 0, 0, 0})));
        }
      }
      EXPECT_EQ(firsts.size(), 36u);
      EXPECT_EQ(std::set<float>(firsts.begin(), firsts.end()).size(), 36u);
      orders.insert(firsts);
    }
  }
  EXPECT_EQ(orders.size(), 4u);
}

TEST(Loader, KeepsTheOrderWithoutShuffling) {
  LoaderOptions options;
  options.batch_size = 4;
  Loader loader(numbered(10), options);
  std::vector<int64_t> labels;
  for (const Batch& batch : epoch_of(loader, 0)) {
    for (int64_t label : batch.labels.to_vector<int64_t>()) labels.push_back(label);
  }
  EXPECT_EQ(labels, (std::vector<int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2, 0}));
}

TEST(Loader, DropLastLeavesOutTheSmallBatch) {
  LoaderOptions options;
  options.batch_size = 4;
  Loader keep(numbered(10), options);
  EXPECT_EQ(keep.batches(), 3);
  EXPECT_EQ(epoch_of(keep, 0).back().size(), 2);
  options.drop_last = true;
  Loader drop(numbered(10), options);
  EXPECT_EQ(drop.batches(), 2);
  EXPECT_EQ(epoch_of(drop, 0).back().size(), 4);
}

TEST(Loader, EmptyDataSetHasNoBatches) {
  Loader loader(numbered(0), {});
  EXPECT_EQ(loader.batches(), 0);
  EXPECT_TRUE(epoch_of(loader, 0).empty());
}

TEST(Loader, CutoutSetsASquareToTheMean) {
  MemoryContent content{.name = "white",
                        .shape = {1, 9, 9},
                        .pixels = std::vector<uint8_t>(81 * 20, 255),
                        .labels = std::vector<uint8_t>(20, 0),
                        .class_names = {"a"},
                        .mean = {0.5f},
                        .stddev = {0.5f}};
  LoaderOptions options;
  options.augmentation.cutout = 5;
  options.batch_size = 20;
  Loader loader(std::make_shared<MemoryDataset>(std::move(content)), options);
  const auto batches = epoch_of(loader, 0);
  const auto values = batches[0].images.to_vector<float>();
  for (int64_t i = 0; i < 20; ++i) {
    int64_t zeros = 0;
    for (int64_t p = 0; p < 81; ++p) {
      const float value = values[static_cast<size_t>(i * 81 + p)];
      EXPECT_TRUE(value == 0.0f || value == 1.0f);
      zeros += value == 0.0f;
    }
    // 3 to 5 rows and columns, as the centre is inside and the square is clipped.
    EXPECT_GE(zeros, 9);
    EXPECT_LE(zeros, 25);
  }
}

// Throws for one sample, as a picture file that turns out broken does.
class BrokenAt final : public Dataset {
 public:
  BrokenAt(std::shared_ptr<const Dataset> whole, int64_t bad)
      : whole_(std::move(whole)), bad_(bad) {}
  std::string name() const override { return "broken"; }
  int64_t size() const override { return whole_->size(); }
  ImageShape image_shape() const override { return whole_->image_shape(); }
  const std::vector<std::string>& class_names() const override { return whole_->class_names(); }
  void read(int64_t index, std::span<uint8_t> pixels) const override {
    if (index == bad_) throw IoError("sample is broken");
    whole_->read(index, pixels);
  }
  int64_t label(int64_t index) const override { return whole_->label(index); }
  std::vector<float> mean() const override { return whole_->mean(); }
  std::vector<float> stddev() const override { return whole_->stddev(); }

 private:
  std::shared_ptr<const Dataset> whole_;
  int64_t bad_;
};

TEST(Loader, RethrowsAWorkersExceptionInItsTurn) {
  for (const int workers : {0, 1, 3}) {
    LoaderOptions options;
    options.batch_size = 4;
    options.workers = workers;
    Loader loader(std::make_shared<BrokenAt>(numbered(12), 5), options);
    loader.start_epoch(0);
    EXPECT_TRUE(loader.next().has_value());
    EXPECT_THROW(loader.next(), IoError);
    EXPECT_TRUE(loader.next().has_value());
    EXPECT_FALSE(loader.next().has_value());
  }
}

TEST(Loader, DestructionInTheMiddleOfAnEpochDoesNotHang) {
  for (int round = 0; round < 20; ++round) {
    LoaderOptions options = training_options();
    options.workers = 4;
    Loader loader(numbered(300), options);
    loader.start_epoch(0);
    if (round % 2 == 1) {
      EXPECT_TRUE(loader.next().has_value());
    }
  }
}

TEST(Loader, RejectsWhatMakesNoSense) {
  const auto make = [](auto change) {
    LoaderOptions options;
    change(options);
    Loader loader(numbered(4), options);
  };
  EXPECT_THROW(make([](auto& o) { o.batch_size = 0; }), ValueError);
  EXPECT_THROW(make([](auto& o) { o.workers = -1; }), ValueError);
  EXPECT_THROW(make([](auto& o) { o.prefetch = 0; }), ValueError);
  EXPECT_THROW(make([](auto& o) { o.mean = {0.5f}; }), ValueError);
  EXPECT_THROW(make([](auto& o) { o.mean = o.stddev = {1.0f, 1.0f, 1.0f}; }), ValueError);
  EXPECT_THROW(make([](auto& o) { o.stddev = {1.0f, 0.0f}; }), ValueError);
  EXPECT_THROW(make([](auto& o) { o.augmentation.crop_padding = -1; }), ValueError);
  EXPECT_THROW(Loader(nullptr, {}), ValueError);
  Loader loader(numbered(4), {});
  EXPECT_THROW(loader.next(), ValueError);
  EXPECT_THROW(loader.start_epoch(0, 2), ValueError);
  EXPECT_THROW(loader.start_epoch(-1), ValueError);
}

}  // namespace
}  // namespace espalier::data
