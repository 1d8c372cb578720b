// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/identity.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include <gtest/gtest.h>

#include <espalier/data/image_folder.h>
#include <espalier/data/memory_dataset.h>
#include <espalier/data/synth.h>

#include "reading.h"

namespace espalier::data::testing {
namespace {

MemoryContent content(int64_t samples) {
  MemoryContent out{.name = "mine",
                    .shape = {1, 2, 2},
                    .pixels = {},
                    .labels = {},
                    .class_names = {"a", "b", "c"},
                    .mean = {0.5f},
                    .stddev = {0.5f}};
  for (int64_t i = 0; i < samples; ++i) {
    out.labels.push_back(static_cast<uint8_t>(i % 3));
    for (int64_t p = 0; p < 4; ++p) out.pixels.push_back(pixel(i, p));
  }
  return out;
}

std::string fingerprint(MemoryContent of) {
  return identify(MemoryDataset(std::move(of))).fingerprint;
}

TEST(Identity, IsThatOfTheContentAlone) {
  MemoryContent other = content(300);
  other.name = "copied elsewhere";
  EXPECT_EQ(identify(MemoryDataset(content(300))), identify(MemoryDataset(other)));
  EXPECT_EQ(fingerprint(content(300)).size(), 32u);
}

TEST(Identity, EveryLabelCounts) {
  const std::string was = fingerprint(content(1000));
  for (size_t i = 0; i < 1000; i += 37) {
    MemoryContent other = content(1000);
    other.labels[i] = static_cast<uint8_t>((other.labels[i] + 1) % 3);
    EXPECT_NE(fingerprint(other), was) << i;
  }
}

TEST(Identity, EveryPixelOfUpTo256SamplesCounts) {
  const std::string was = fingerprint(content(256));
  for (size_t p = 0; p < 1024; ++p) {
    MemoryContent other = content(256);
    other.pixels[p] ^= 1;
    EXPECT_NE(fingerprint(other), was) << p;
  }
}

TEST(Identity, OfManySamplesTheFirstAndTheLastAreLookedAt) {
  const std::string was = fingerprint(content(5000));
  for (const size_t p : {size_t{0}, size_t{19999}}) {
    MemoryContent other = content(5000);
    other.pixels[p] ^= 1;
    EXPECT_NE(fingerprint(other), was) << p;
  }
  // Another order of samples moves every picture that is looked at.
  MemoryContent other = content(5000);
  std::rotate(other.pixels.begin(), other.pixels.begin() + 12, other.pixels.end());
  EXPECT_NE(fingerprint(other), was);
}

TEST(Identity, NumberShapeAndSeedCount) {
  EXPECT_NE(fingerprint(content(30)), fingerprint(content(31)));
  MemoryContent flat = content(30);
  flat.shape = {1, 1, 4};
  EXPECT_NE(fingerprint(flat), fingerprint(content(30)));
  EXPECT_NE(identify(*make_synth(Split::Train, 1, 50)).fingerprint,
            identify(*make_synth(Split::Train, 2, 50)).fingerprint);
  EXPECT_EQ(identify(*make_synth(Split::Train, 1, 0)).samples, 0);
}

TEST(Identity, ASubsetIsDataOfItsOwn) {
  const auto whole = std::make_shared<const MemoryDataset>(content(100));
  EXPECT_EQ(identify(*subset(whole, 30, 1)), identify(*subset(whole, 30, 1)));
  EXPECT_NE(identify(*subset(whole, 30, 1)), identify(*subset(whole, 30, 2)));
}

TEST(Identity, APictureReplacedByAnotherFileIsNoticedWithoutDecodingAll) {
  const TempFolder folder;
  for (int i = 0; i < 300; ++i) {
    make_png(folder.path() / "train/a" / ("p" + std::to_string(1000 + i) + ".png"), i, 2, 2);
  }
  const auto now = [&] { return identify(*open_image_folder(folder.path(), Split::Train)); };
  const DatasetIdentity was = now();
  for (const int i : {0, 1, 150, 298}) {
    const auto file = folder.path() / "train/a" / ("p" + std::to_string(1000 + i) + ".png");
    const Bytes before = load(file);
    make_png(file, i, 2, 9);
    EXPECT_NE(now().fingerprint, was.fingerprint) << i;
    store(file, before);
  }
  EXPECT_EQ(now(), was);
}

TEST(Identity, TheFirstDifferenceIsNamed) {
  const DatasetIdentity was = identify(MemoryDataset(content(30)));
  EXPECT_EQ(first_difference(was, was), "");
  DatasetIdentity now = was;
  now.class_names[1] = "red";
  EXPECT_EQ(first_difference(was, now), "class 1 was 'b', is 'red'");
  now = was;
  now.class_names.pop_back();
  EXPECT_EQ(first_difference(was, now), "3 classes then, 2 now");
  now = was;
  now.samples = 29;
  EXPECT_EQ(first_difference(was, now), "30 samples then, 29 now");
  now = was;
  now.shape.width = 3;
  EXPECT_EQ(first_difference(was, now), "images of 1x2x2 then, 1x2x3 now");
  now = was;
  now.fingerprint[0] = now.fingerprint[0] == '0' ? '1' : '0';
  EXPECT_NE(first_difference(was, now).find("other pixels or labels"), std::string::npos);
}

TEST(Identity, NamesInAnotherOrderAreToldFromRenamedOnes) {
  EXPECT_EQ(first_difference_of_names({"a", "b"}, {"a", "b"}), "");
  EXPECT_EQ(first_difference_of_names({"a", "b"}, {"a", "c"}), "class 1 is 'b' there, 'c' here");
  EXPECT_EQ(first_difference_of_names({"a", "b"}, {"b", "a"}),
            "class 0 is 'a' there, 'b' here: the same names in another order");
  EXPECT_EQ(first_difference_of_names({"a", "b"}, {"a"}), "2 classes there, 1 here");
}

TEST(Identity, OfCifar10CostsNoMoreThanAMoment) {
  const char* root = std::getenv("ESPALIER_DATA");
  if (root == nullptr) GTEST_SKIP() << "needs CIFAR-10 below ESPALIER_DATA";
  const auto train = open_dataset("cifar10", Split::Train, root);
  const std::clock_t start = std::clock();
  identify(*train);
  constexpr double kMoment = 0.5;  // seconds of computing
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, kMoment);
}

}  // namespace
}  // namespace espalier::data::testing
