// SPDX-License-Identifier: Apache-2.0
// What the readers return for good files, and the errors that belong to one format only. Errors
// that all formats share are in bad_files_test.cpp, SVHN's in svhn_test.cpp.
#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

#include <espalier/data/cifar.h>
#include <espalier/data/idx.h>
#include <espalier/data/memory_dataset.h>

#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;

void put_u32(Bytes& bytes, size_t position, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) bytes[position + i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

TEST(Cifar, JoinsTheFiveBatchesInOrder) {
  const TempFolder folder;
  for (uint8_t b = 1; b <= 5; ++b) {
    make_cifar(folder.path() / ("data_batch_" + std::to_string(b) + ".bin"), {}, {b, 9});
  }
  const auto train = open_cifar10(folder.path(), Split::Train);
  ASSERT_EQ(train->size(), 10);
  EXPECT_EQ(train->image_shape(), (ImageShape{3, 32, 32}));
  for (int64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(train->label(i), i % 2 == 0 ? i / 2 + 1 : 9);
    EXPECT_EQ(image(*train, i), expected_image(i % 2, 3072));
  }
  EXPECT_EQ(train->class_names()[9], "truck");
}

TEST(Cifar, TakesTheFineLabelOfCifar100) {
  const TempFolder folder;
  make_cifar(folder.path() / "test.bin", {11}, {98, 0});
  const auto test = open_cifar100(folder.path(), Split::Test);
  ASSERT_EQ(test->size(), 2);
  EXPECT_EQ(test->label(0), 98);
  EXPECT_EQ(image(*test, 1), expected_image(1, 3072));
  ASSERT_EQ(test->class_names().size(), 100u);
  EXPECT_TRUE(std::is_sorted(test->class_names().begin(), test->class_names().end()));
}

TEST(Cifar, NamesTheRecordOfALabelOutOfRange) {
  const TempFolder folder;
  make_cifar(folder.path() / "test_batch.bin", {}, {0, 10});
  expect_io_error([&] { open_cifar10(folder.path(), Split::Test); }, "label 10 in record 1");
  make_cifar(folder.path() / "test.bin", {3}, {100});
  expect_io_error([&] { open_cifar100(folder.path(), Split::Test); }, "label 100 in record 0");
  make_cifar(folder.path() / "test.bin", {20}, {1});
  expect_io_error([&] { open_cifar100(folder.path(), Split::Test); }, "label 20 in record 0");
}

TEST(Cifar, WritesWhatItReads) {
  const TempFolder folder;
  MemoryContent content{.name = "x",
                        .shape = {},
                        .pixels = {},
                        .labels = {},
                        .class_names = {"a", "b", "c"},
                        .mean = {0, 0, 0},
                        .stddev = {1, 1, 1}};
  for (int64_t i = 0; i < 7; ++i) {
    content.labels.push_back(static_cast<uint8_t>(i % 3));
    const Bytes pixels = expected_image(i, 3072);
    content.pixels.insert(content.pixels.end(), pixels.begin(), pixels.end());
  }
  const MemoryDataset dataset(content);
  write_cifar10(folder.path(), dataset, dataset);
  for (const Split split : {Split::Train, Split::Test}) {
    const auto back = open_cifar10(folder.path(), split);
    ASSERT_EQ(back->size(), 7);
    for (int64_t i = 0; i < 7; ++i) {
      EXPECT_EQ(back->label(i), i % 3);
      EXPECT_EQ(image(*back, i), expected_image(i, 3072));
    }
  }
  const Bytes names = load(folder.path() / "batches.meta.txt");
  EXPECT_EQ(std::string(names.begin(), names.end()), "a\nb\nc\n");
}

TEST(Cifar, NamesOfClassesThatAreNoUtf8AreRefused) {
  const TempFolder folder;
  make_cifar(folder.path() / "test_batch.bin", {}, Bytes(10000, 1));
  store(folder.path() / "batches.meta.txt", {'a', '\n', 0xff, '\n'});
  expect_io_error([&] { open_cifar10(folder.path(), Split::Test); },
                  "expected names of classes in UTF-8, got '\\xff'");
}

TEST(Cifar, FileCutBetweenRecordsOfThePublishedSetIsRefused) {
  const TempFolder folder;
  for (int b = 1; b <= 5; ++b) {
    make_cifar(folder.path() / ("data_batch_" + std::to_string(b) + ".bin"), {}, Bytes(10000, 3));
  }
  EXPECT_EQ(open_cifar10(folder.path(), Split::Train)->size(), 50000);
  make_cifar(folder.path() / "data_batch_4.bin", {}, Bytes(9999, 3));
  expect_io_error([&] { open_cifar10(folder.path(), Split::Train); },
                  "data_batch_4.bin has 9999 records, the published file has 10000");
  make_cifar(folder.path() / "data_batch_4.bin", {}, Bytes(10001, 3));
  expect_io_error([&] { open_cifar10(folder.path(), Split::Train); }, "10001 records");
  // The test split is judged by the files of the other one.
  make_cifar(folder.path() / "test_batch.bin", {}, Bytes(5000, 3));
  expect_io_error([&] { open_cifar10(folder.path(), Split::Test); }, "records.txt");
}

TEST(Cifar, FileCutBetweenRecordsOfCifar100IsRefused) {
  const TempFolder folder;
  make_cifar(folder.path() / "test.bin", {1}, Bytes(10000, 3));
  make_cifar(folder.path() / "train.bin", {1}, Bytes(49999, 3));
  expect_io_error([&] { open_cifar100(folder.path(), Split::Train); },
                  "train.bin has 49999 records, the published file has 50000");
  EXPECT_EQ(open_cifar100(folder.path(), Split::Test)->size(), 10000);
}

TEST(Cifar, DeclaredSubsetMustBeWhole) {
  const TempFolder folder;
  const std::filesystem::path records = folder.path() / "records.txt";
  const auto declare = [&](const std::string& text) { store(records, {text.begin(), text.end()}); };
  make_cifar(folder.path() / "train.bin", {1}, Bytes(50000, 3));
  make_cifar(folder.path() / "test.bin", {1}, {3, 4, 5});
  declare("train.bin 50000\ntest.bin 3\n");
  EXPECT_EQ(open_cifar100(folder.path(), Split::Test)->size(), 3);
  make_cifar(folder.path() / "test.bin", {1}, {3, 4});
  expect_io_error([&] { open_cifar100(folder.path(), Split::Test); },
                  "test.bin has 2 records, records.txt beside it says 3");
  for (const char* bad : {"test.bin", "test.bin two", "test.bin 0", "test.bin 2 test.bin 2"}) {
    declare(bad);
    expect_io_error([&] { open_cifar100(folder.path(), Split::Test); }, "number of records");
  }
  declare("train.bin 50000");
  expect_io_error([&] { open_cifar100(folder.path(), Split::Test); }, "does not name test.bin");
}

TEST(Cifar, WrittenSetIsRefusedWhenCutBetweenRecords) {
  const TempFolder folder;
  const auto digits = open_dataset("synth", Split::Test, "");
  write_cifar10(folder.path(), *subset(digits, 10, 1), *subset(digits, 3, 1));
  const std::filesystem::path file = folder.path() / "data_batch_2.bin";
  Bytes bytes = load(file);
  bytes.resize(bytes.size() - 3073);
  store(file, bytes);
  expect_io_error([&] { open_cifar10(folder.path(), Split::Train); },
                  "data_batch_2.bin has 1 records, records.txt beside it says 2");
}

TEST(Cifar, WritesOnlyWhatFitsTheLayout) {
  const TempFolder folder;
  const MemoryDataset grey({.name = "grey",
                            .shape = {1, 32, 32},
                            .pixels = Bytes(8 * 1024),
                            .labels = Bytes(8),
                            .class_names = {"a"},
                            .mean = {0},
                            .stddev = {1}});
  EXPECT_THROW(write_cifar10(folder.path(), grey, grey), ValueError);
  const MemoryDataset few({.name = "few",
                           .shape = {},
                           .pixels = Bytes(4 * 3072),
                           .labels = Bytes(4),
                           .class_names = {"a"},
                           .mean = {0, 0, 0},
                           .stddev = {1, 1, 1}});
  EXPECT_THROW(write_cifar10(folder.path(), few, few), ValueError);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Idx, ReadsPlainAndPackedAlike) {
  for (const bool packed : {false, true}) {
    const TempFolder folder;
    make_idx(folder.path(), "t10k", 5, 4, {7, 0, 9}, packed);
    const auto test = open_mnist(folder.path(), Split::Test);
    ASSERT_EQ(test->size(), 3);
    EXPECT_EQ(test->image_shape(), (ImageShape{1, 5, 4}));
    EXPECT_EQ(test->label(2), 9);
    EXPECT_EQ(image(*test, 2), expected_image(2, 20));
    EXPECT_EQ(open_fashion(folder.path(), Split::Test)->class_names()[9], "Ankle boot");
  }
}

TEST(Idx, RejectsHostileHeaders) {
  struct Case {
    const char* what;
    size_t position;
    uint32_t value;
  };
  const Case cases[] = {
      {"magic of floats", 0, 0x00000D03},
      {"magic of labels", 0, 0x00000801},
      {"no images", 4, 0},
      {"one image more", 4, 4},
      {"one image less", 4, 2},
      {"2^32-1 images", 4, 0xFFFFFFFF},
      {"height 0", 8, 0},
      {"height 2^31", 8, 0x80000000},
      {"width 2^32-1", 12, 0xFFFFFFFF},
      {"a product that wraps to 0", 4, 0x40000000},
  };
  for (const bool packed : {false, true}) {
    for (const Case& c : cases) {
      SCOPED_TRACE(c.what);
      const TempFolder folder;
      make_idx(folder.path(), "train", 28, 28, {1, 2, 3}, packed);
      Bytes bytes = idx_images(3, 28, 28);
      put_u32(bytes, c.position, c.value);
      store(folder.path() / (packed ? "train-images-idx3-ubyte.gz" : "train-images-idx3-ubyte"),
            packed ? gzip(bytes) : bytes);
      expect_io_error([&] { open_mnist(folder.path(), Split::Train); }, "train-images-idx3-ubyte");
    }
  }
}

TEST(Idx, RejectsLabelsThatDoNotFit) {
  const TempFolder folder;
  make_idx(folder.path(), "train", 4, 4, {1, 2, 3}, false);
  const fs::path labels = folder.path() / "train-labels-idx1-ubyte";
  store(labels, idx_labels({1, 2}));
  expect_io_error([&] { open_mnist(folder.path(), Split::Train); }, "2 labels for 3 images");
  store(labels, idx_labels({1, 10, 3}));
  expect_io_error([&] { open_mnist(folder.path(), Split::Train); }, "label 10 at 1");
  Bytes more = idx_labels({1, 2, 3});
  more.push_back(0);
  store(labels, more);
  expect_io_error([&] { open_mnist(folder.path(), Split::Train); }, "longer than its header says");
}

TEST(MemoryDataset, RejectsPartsThatDoNotFit) {
  const auto content = [] {
    return MemoryContent{.name = "x",
                         .shape = {1, 2, 2},
                         .pixels = Bytes(8),
                         .labels = {0, 1},
                         .class_names = {"a", "b"},
                         .mean = {0},
                         .stddev = {1}};
  };
  EXPECT_NO_THROW(MemoryDataset{content()});
  const auto expect_rejected = [&](auto change) {
    MemoryContent bad = content();
    change(bad);
    EXPECT_THROW(MemoryDataset{bad}, ValueError);
  };
  expect_rejected([](auto& c) { c.pixels.pop_back(); });
  expect_rejected([](auto& c) { c.labels[1] = 2; });
  expect_rejected([](auto& c) { c.class_names.clear(); });
  expect_rejected([](auto& c) { c.mean.clear(); });
  expect_rejected([](auto& c) { c.stddev = {0}; });
  expect_rejected([](auto& c) { c.shape.height = 0; });
  const MemoryDataset good(content());
  Bytes pixels(4);
  EXPECT_THROW(good.read(2, pixels), ValueError);
  EXPECT_THROW(good.read(-1, pixels), ValueError);
  EXPECT_THROW(good.label(2), ValueError);
  pixels.pop_back();
  EXPECT_THROW(good.read(0, pixels), ValueError);
}

TEST(MemoryDataset, StatisticsOfAKnownPicture) {
  const MemoryDataset dataset({.name = "x",
                               .shape = {2, 1, 2},
                               .pixels = {0, 255, 51, 51},
                               .labels = {0},
                               .class_names = {"a"},
                               .mean = {0, 0},
                               .stddev = {1, 1}});
  const ChannelStatistics s = channel_statistics(dataset);
  EXPECT_FLOAT_EQ(s.mean[0], 0.5f);
  EXPECT_FLOAT_EQ(s.stddev[0], 0.5f);
  EXPECT_FLOAT_EQ(s.mean[1], 0.2f);
  EXPECT_FLOAT_EQ(s.stddev[1], 0.0f);
}

// The published per-channel figures, to the digits in which they are published.
constexpr float kPublishedTol = 1e-4f;

void expect_published_statistics(const std::string& name) {
  const char* root = std::getenv("ESPALIER_DATA");
  if (root == nullptr || !fs::exists(fs::path(root) / name)) {
    GTEST_SKIP() << "no " << name << " below ESPALIER_DATA";
  }
  const auto train = open_dataset(name, Split::Train, root);
  EXPECT_EQ(open_dataset(name, Split::Test, root)->size(), 10000);
  const ChannelStatistics s = channel_statistics(*train);
  for (size_t c = 0; c < s.mean.size(); ++c) {
    EXPECT_NEAR(s.mean[c], train->mean()[c], kPublishedTol);
    EXPECT_NEAR(s.stddev[c], train->stddev()[c], kPublishedTol);
  }
  std::vector<int> count(10);
  for (int64_t i = 0; i < train->size(); ++i) ++count[static_cast<size_t>(train->label(i))];
  if (name == "cifar10") {
    EXPECT_EQ(count, std::vector<int>(10, 5000));
  } else {
    EXPECT_EQ(train->size(), 60000);
    EXPECT_EQ(count[1], 6742);  // the published number of ones
  }
}

TEST(RealData, Cifar10HasItsPublishedStatistics) {
  expect_published_statistics("cifar10");
}
TEST(RealData, MnistHasItsPublishedStatistics) {
  expect_published_statistics("mnist");
}

}  // namespace
}  // namespace espalier::data::testing
