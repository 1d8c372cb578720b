// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/resized.h>

#include <fstream>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/data/image_folder.h>
#include <espalier/data/memory_dataset.h>

#include "reading.h"

namespace espalier::data::testing {
namespace {

std::shared_ptr<const Dataset> two_planes(int64_t height, int64_t width, const Bytes& pixels) {
  return std::make_shared<MemoryDataset>(MemoryContent{.name = "two",
                                                       .shape = {2, height, width},
                                                       .pixels = pixels,
                                                       .labels = {1},
                                                       .class_names = {"a", "b"},
                                                       .mean = {0.5F, 0.5F},
                                                       .stddev = {0.25F, 0.25F}});
}

Bytes first_of(const Dataset& dataset) {
  Bytes pixels(static_cast<size_t>(dataset.image_shape().numel()));
  dataset.read(0, pixels);
  return pixels;
}

TEST(Resized, EnlargesByTheNearestPixelInEachPlane) {
  const auto large = resized(two_planes(2, 2, {1, 2, 3, 4, 50, 60, 70, 80}), 4);
  EXPECT_EQ(large->image_shape(), (ImageShape{2, 4, 4}));
  EXPECT_EQ(first_of(*large),
            (Bytes{1,  1,  2,  2,  1,  1,  2,  2,  3,  3,  4,  4,  3,  3,  4,  4,
                   50, 50, 60, 60, 50, 50, 60, 60, 70, 70, 80, 80, 70, 70, 80, 80}));
  EXPECT_EQ(large->label(0), 1);
  EXPECT_EQ(large->class_names(), (std::vector<std::string>{"a", "b"}));
}

TEST(Resized, ShrinksTheCentreByMeans) {
  // Columns 1 and 2 of four are the centre of 2 x 4; their mean is rounded.
  const auto small =
      resized(two_planes(2, 4, {9, 10, 20, 9, 9, 30, 41, 9, 0, 100, 100, 0, 0, 100, 103, 0}), 1);
  EXPECT_EQ(first_of(*small), (Bytes{25, 101}));
}

TEST(Resized, OfTheSameSizeIsTheSame) {
  const auto plain = two_planes(2, 2, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(resized(plain, 2), plain);
  EXPECT_THROW(resized(plain, 0), ValueError);
  EXPECT_THROW(resized(plain, kMostImageSide + 1), ValueError);
  EXPECT_THROW(resized(nullptr, 2), ValueError);
}

TEST(Resized, AnyDataSetIsOpenedAtASize) {
  const auto synth = open_dataset("synth", Split::Test, "", OpenOptions{.image_size = 64});
  EXPECT_EQ(synth->image_shape(), (ImageShape{3, 64, 64}));
  const auto own = open_dataset("synth", Split::Test, "");
  Bytes small(3 * 32 * 32);
  own->read(7, small);
  Bytes large(3 * 64 * 64);
  synth->read(7, large);
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_EQ(large[c * 4096 + 10 * 64 + 21], small[c * 1024 + 5 * 32 + 10]);
  }
  const TempFolder folder;
  const auto text = folder.path() / "a.txt";
  std::ofstream(text) << std::string(1000, 'x');
  try {
    open_dataset(
        "text:" + text.string(), Split::Train, "", OpenOptions{.context = 8, .image_size = 64});
    FAIL() << "scaled a text";
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("text"), std::string::npos) << error.what();
  }
}

TEST(Resized, PicturesOfAFolderAreScaledFromTheirOwnSizes) {
  const TempFolder folder;
  make_png(folder.path() / "train/a/1.png", 1, 4, 4);   // would give the size
  make_png(folder.path() / "train/a/2.png", 2, 8, 12);  // and then lose pixels
  const auto at = open_dataset(
      "folder:" + folder.path().string(), Split::Train, "", OpenOptions{.image_size = 8});
  EXPECT_EQ(at->image_shape(), (ImageShape{3, 8, 8}));
  Bytes pixels(3 * 64);
  at->read(1, pixels);
  // Rows of 12 pixels, of which columns 2 .. 9 are the centre.
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < 8; ++y) {
      for (int64_t x = 0; x < 8; ++x) {
        EXPECT_EQ(pixels[static_cast<size_t>((c * 8 + y) * 8 + x)],
                  pixel(2, (y * 12 + x + 2) * 3 + c));
      }
    }
  }
  EXPECT_THROW(open_image_folder(folder.path(), Split::Train, {.image_size = -1}), ValueError);
}

}  // namespace
}  // namespace espalier::data::testing
