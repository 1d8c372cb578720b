// SPDX-License-Identifier: Apache-2.0
// Texts as data sets: which tokens, which windows, which batches.
#include <espalier/data/text.h>

#include <string>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/data/loader.h>
#include <espalier/data/tests/fixtures.h>

namespace espalier::data {
namespace {

using testing::store;
using testing::TempFolder;

std::shared_ptr<const Dataset> opened(const std::string& text, Split split, int64_t context) {
  const TempFolder folder;
  store(folder.path() / "a.txt", {text.begin(), text.end()});
  return open_text(folder.path() / "a.txt", split, {.context = context, .test_fraction = 0.25});
}

std::vector<uint8_t> sample(const Dataset& dataset, int64_t index) {
  std::vector<uint8_t> out(static_cast<size_t>(dataset.image_shape().numel()));
  dataset.read(index, out);
  return out;
}

// "banana\nbandana!": bytes in order are \n ! a b d n, so 0 .. 5. 15 bytes, the last 4 ("ana!") for
// tests.
TEST(Text, TokensAreTheBytesThatOccurInTheirOrder) {
  const auto train = opened("banana\nbandana!", Split::Train, 3);
  const auto test = opened("banana\nbandana!", Split::Test, 3);
  EXPECT_EQ(train->class_names(), (std::vector<std::string>{"\\x0a", "!", "a", "b", "d", "n"}));
  EXPECT_EQ(test->class_names(), train->class_names());
  EXPECT_EQ(train->context(), 3);
  EXPECT_EQ(train->image_shape(), (ImageShape{1, 1, 4}));
  ASSERT_EQ(train->size(), 3);
  EXPECT_EQ(sample(*train, 0), (std::vector<uint8_t>{3, 2, 5, 2}));
  EXPECT_EQ(sample(*train, 1), (std::vector<uint8_t>{2, 5, 2, 0}));
  EXPECT_EQ(sample(*train, 2), (std::vector<uint8_t>{0, 3, 2, 5}));
  EXPECT_EQ(train->label(1), 0);
  ASSERT_EQ(test->size(), 1);
  EXPECT_EQ(sample(*test, 0), (std::vector<uint8_t>{2, 5, 2, 1}));
}

// Windows side by side: over an epoch every byte of the split but the first, and a rest that fills
// no window, is a target once.
TEST(Text, EveryCharacterIsForetoldOnce) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += static_cast<char>('a' + i * i % 23);
  const auto train = opened(text, Split::Train, 7);
  ASSERT_EQ(train->size(), (300 - 1) / 7);
  std::string targets;
  for (int64_t i = 0; i < train->size(); ++i) {
    for (size_t t = 1; t <= 7; ++t) targets += train->class_names()[sample(*train, i)[t]];
  }
  EXPECT_EQ(targets, text.substr(1, targets.size()));
}

TEST(Text, BatchesAreTokensAndThoseThatFollow) {
  const auto train = opened("banana\nbandana!", Split::Train, 3);
  Loader loader(train, {.batch_size = 2, .workers = 2});
  loader.start_epoch(0);
  const Batch first = loader.next().value();
  EXPECT_EQ(first.images.shape(), (Shape{2, 3}));
  EXPECT_EQ(first.images.dtype(), DType::I64);
  EXPECT_EQ(first.images.to_vector<int64_t>(), (std::vector<int64_t>{3, 2, 5, 2, 5, 2}));
  EXPECT_EQ(first.labels.to_vector<int64_t>(), (std::vector<int64_t>{2, 5, 2, 5, 2, 0}));
  EXPECT_EQ(first.labels.shape(), Shape{6});
  EXPECT_EQ(loader.next().value().size(), 3);
  EXPECT_FALSE(loader.next().has_value());
  const auto half = subset(train, 2, 1);
  EXPECT_EQ(half->context(), 3);
}

TEST(Text, BadOnesAreErrors) {
  const TempFolder folder;
  EXPECT_THROW(open_text(folder.path() / "none.txt", Split::Train), IoError);
  EXPECT_THROW(open_text(folder.path(), Split::Train), IoError);
  EXPECT_THROW(opened("", Split::Train, 1), IoError);
  EXPECT_THROW(opened("banana\nbandana!", Split::Train, 4), IoError);  // 4 for tests, 5 needed
  EXPECT_THROW(opened("banana\nbandana!", Split::Train, 0), ValueError);
  const auto train = opened("banana\nbandana!", Split::Train, 3);
  EXPECT_THROW(sample(*train, 3), ValueError);
  std::vector<uint8_t> room(3);
  EXPECT_THROW(train->read(0, room), ValueError);
}

TEST(Text, IsADataSetByName) {
  const TempFolder folder;
  const std::string text(400, 'x');
  store(folder.path() / "x.txt", {text.begin(), text.end()});
  const auto data = open_dataset(
      "text:" + (folder.path() / "x.txt").string(), Split::Test, "", OpenOptions{.context = 13});
  EXPECT_EQ(data->size(), 3);
  EXPECT_EQ(data->context(), 13);
}

}  // namespace
}  // namespace espalier::data
