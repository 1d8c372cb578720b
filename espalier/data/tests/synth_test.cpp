// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/synth.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/data/memory_dataset.h>

namespace espalier::data {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes picture(uint64_t seed, Split split, int64_t index) {
  Bytes pixels(3072);
  draw_synth(seed, split, index, pixels);
  return pixels;
}

TEST(Synth, IsAPureFunctionOfSeedSplitAndIndex) {
  std::set<Bytes> all;
  for (const uint64_t seed : {0u, 1u}) {
    for (const Split split : {Split::Train, Split::Test}) {
      for (int64_t index = 0; index < 20; ++index) {
        const Bytes pixels = picture(seed, split, index);
        EXPECT_EQ(pixels, picture(seed, split, index));
        all.insert(pixels);
      }
    }
  }
  EXPECT_EQ(all.size(), 80u);
}

TEST(Synth, DataSetHoldsTheSamePicturesWhateverItsSizeAndOrderOfReading) {
  const auto small = make_synth(Split::Train, 3, 50);
  const auto large = make_synth(Split::Train, 3, 500);
  Bytes a(3072), b(3072);
  for (int64_t i = 49; i >= 0; --i) {
    small->read(i, a);
    large->read(i, b);
    EXPECT_EQ(a, b);
    EXPECT_EQ(a, picture(3, Split::Train, i));
    small->read(i, b);  // now kept
    EXPECT_EQ(a, b);
    EXPECT_EQ(small->label(i), synth_label(3, Split::Train, i));
  }
}

TEST(Synth, ThreadsReadTheSamePicturesAtOnce) {
  const auto dataset = make_synth(Split::Test, 0, 60);
  std::vector<Bytes> results(4);
  std::vector<std::thread> threads;
  for (Bytes& result : results) {
    threads.emplace_back([&] {
      Bytes pixels(3072);
      for (int round = 0; round < 2; ++round) {
        for (int64_t i = 0; i < dataset->size(); ++i) {
          dataset->read(i, pixels);
          result.insert(result.end(), pixels.begin(), pixels.end());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Bytes expected;
  for (int round = 0; round < 2; ++round) {
    for (int64_t i = 0; i < 60; ++i) {
      const Bytes pixels = picture(0, Split::Test, i);
      expected.insert(expected.end(), pixels.begin(), pixels.end());
    }
  }
  for (const Bytes& result : results) EXPECT_EQ(result, expected);
}

TEST(Synth, EachTenPicturesShowTheTenDigits) {
  std::set<std::vector<int64_t>> orders;
  for (int64_t ten = 0; ten < 50; ++ten) {
    std::vector<int64_t> digits;
    for (int64_t i = 0; i < 10; ++i) digits.push_back(synth_label(1, Split::Train, ten * 10 + i));
    orders.insert(digits);
    std::sort(digits.begin(), digits.end());
    EXPECT_EQ(digits, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  }
  EXPECT_GT(orders.size(), 45u);
}

TEST(Synth, StatedStatisticsAreItsOwn) {
  constexpr float kStatisticsTol = 0.01f;
  const auto dataset = make_synth(Split::Train, 0, 4000);
  const ChannelStatistics s = channel_statistics(*dataset);
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(s.mean[c], dataset->mean()[c], kStatisticsTol);
    EXPECT_NEAR(s.stddev[c], dataset->stddev()[c], kStatisticsTol);
  }
}

TEST(Synth, EveryPictureHasContrast) {
  // The labelled digit covers the middle region: its lightness must vary clearly there.
  Bytes pixels(3072);
  for (int64_t i = 0; i < 2000; ++i) {
    draw_synth(5, Split::Train, i, pixels);
    double sum = 0.0, squares = 0.0;
    for (int y = 6; y < 26; ++y) {
      for (int x = 8; x < 24; ++x) {
        const auto p = static_cast<size_t>(y * 32 + x);
        const double light = (pixels[p] + pixels[1024 + p] + pixels[2048 + p]) / 3.0;
        sum += light;
        squares += light * light;
      }
    }
    const double mean = sum / 320.0;
    EXPECT_GT(std::sqrt(squares / 320.0 - mean * mean), 6.0) << "picture " << i;
  }
}

TEST(Synth, RejectsWrongArguments) {
  Bytes small(3071);
  EXPECT_THROW(draw_synth(0, Split::Train, 0, small), ValueError);
  Bytes right(3072);
  EXPECT_THROW(draw_synth(0, Split::Train, -1, right), ValueError);
  EXPECT_THROW(synth_label(0, Split::Train, -1), ValueError);
  EXPECT_THROW(make_synth(Split::Train, 0, -1), ValueError);
  EXPECT_THROW(make_synth(Split::Train, 0, 5)->read(5, right), ValueError);
}

// Softmax regression on the normalized pixels by plain gradient steps: the best of many linear maps
// is not needed, only that such a classifier learns something and stays far from what a network
// reaches.
class LinearClassifier {
 public:
  explicit LinearClassifier(const Dataset& dataset)
      : mean_(dataset.mean()), stddev_(dataset.stddev()) {}

  std::vector<float> features(const Dataset& dataset, int64_t index) const {
    Bytes pixels(3072);
    dataset.read(index, pixels);
    std::vector<float> x(kInputs);
    for (size_t p = 0; p < kInputs; ++p) {
      x[p] = (static_cast<float>(pixels[p]) / 255.0f - mean_[p / 1024]) / stddev_[p / 1024];
    }
    return x;
  }

  std::vector<float> logits(const std::vector<float>& x) const {
    std::vector<float> z(bias_);
    for (size_t p = 0; p < kInputs; ++p) {
      for (size_t k = 0; k < 10; ++k) z[k] += x[p] * weight_[p * 10 + k];
    }
    return z;
  }

  void step(const std::vector<float>& x, int64_t label, float rate) {
    std::vector<float> z = logits(x);
    const float top = *std::max_element(z.begin(), z.end());
    float sum = 0.0f;
    for (float& value : z) sum += value = std::exp(value - top);
    for (float& value : z) value /= sum;
    z[static_cast<size_t>(label)] -= 1.0f;
    for (size_t p = 0; p < kInputs; ++p) {
      for (size_t k = 0; k < 10; ++k) weight_[p * 10 + k] -= rate * x[p] * z[k];
    }
    for (size_t k = 0; k < 10; ++k) bias_[k] -= rate * z[k];
  }

 private:
  static constexpr size_t kInputs = 3072;
  std::vector<float> mean_, stddev_;
  std::vector<float> weight_ = std::vector<float>(kInputs * 10);
  std::vector<float> bias_ = std::vector<float>(10);
};

TEST(Synth, ALinearClassifierLearnsSomethingButFarFromAll) {
  constexpr int64_t kTrain = 6000, kTest = 2000;
  const auto train = make_synth(Split::Train, 0, kTrain);
  const auto test = make_synth(Split::Test, 0, kTest);
  LinearClassifier classifier(*train);
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (int64_t i = 0; i < kTrain; ++i) {
      classifier.step(
          classifier.features(*train, i), train->label(i), 1e-4f / static_cast<float>(1 + epoch));
    }
  }
  int64_t correct = 0;
  for (int64_t i = 0; i < kTest; ++i) {
    const auto z = classifier.logits(classifier.features(*test, i));
    correct += std::max_element(z.begin(), z.end()) - z.begin() == test->label(i);
  }
  const double accuracy = static_cast<double>(correct) / static_cast<double>(kTest);
  RecordProperty("accuracy", std::to_string(accuracy));
  EXPECT_LT(accuracy, 0.60);
  EXPECT_GT(accuracy, 0.12);
}

}  // namespace
}  // namespace espalier::data
