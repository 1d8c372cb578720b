// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/identity.h>

#include <algorithm>
#include <utility>

#include <gtest/gtest.h>

#include <espalier/core/parallel.h>
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

TEST(Identity, EveryPixelCounts) {
  const std::string was = fingerprint(content(1000));
  for (size_t p = 0; p < 4000; p += 7) {
    MemoryContent other = content(1000);
    other.pixels[p] ^= 1;
    EXPECT_NE(fingerprint(other), was) << p;
  }
  MemoryContent other = content(1000);
  std::rotate(other.pixels.begin(), other.pixels.begin() + 12, other.pixels.end());
  EXPECT_NE(fingerprint(other), was);
}

TEST(Identity, IsTheSameOnAnyNumberOfThreads) {
  const std::string was = fingerprint(content(1000));
  for (const int threads : {1, 2, 5}) {
    set_num_threads(threads);
    EXPECT_EQ(fingerprint(content(1000)), was) << threads;
  }
  set_num_threads(0);
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

TEST(Identity, EveryByteOfAPictureFileCounts) {
  const TempFolder folder;
  const auto file = [&](int i) {
    return folder.path() / "train/a" / ("p" + std::to_string(1000 + i) + ".png");
  };
  for (int i = 0; i < 300; ++i) make_png(file(i), i, 2, 2);
  const auto now = [&] {
    const auto pictures = open_image_folder(folder.path(), Split::Train);
    return std::pair(identify(*pictures), identify(*subset(pictures, pictures->size(), 1)));
  };
  const auto was = now();
  for (const int i : {0, 1, 150, 298}) {
    const Bytes before = load(file(i));
    make_png(file(i), i + 1, 2, 2);  // other pixels; most often a file of the same length
    EXPECT_NE(now().first.fingerprint, was.first.fingerprint) << i;
    EXPECT_NE(now().second.fingerprint, was.second.fingerprint) << i;
    Bytes one = before;
    one.back() ^= 1;
    store(file(i), one);
    EXPECT_NE(now().first.fingerprint, was.first.fingerprint) << i;
    store(file(i), before);
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

}  // namespace
}  // namespace espalier::data::testing
