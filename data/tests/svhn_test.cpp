// SPDX-License-Identifier: Apache-2.0
// SVHN's MATLAB files: what is read, and headers that lie.
#include <cstring>

#include <espalier/data/svhn.h>

#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;

TEST(Svhn, TransposesAndMapsTenToZero) {
  for (const bool packed : {false, true}) {
    const TempFolder folder;
    make_svhn(folder.path() / "test_32x32.mat", {1, 10, 9}, packed);
    const auto test = open_svhn(folder.path(), Split::Test);
    ASSERT_EQ(test->size(), 3);
    EXPECT_EQ(test->label(0), 1);
    EXPECT_EQ(test->label(1), 0);
    EXPECT_EQ(test->label(2), 9);
    for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(image(*test, i), expected_image(i, 3072));
  }
}

TEST(Svhn, ExtraFollowsTheTrainingSet) {
  const TempFolder folder;
  make_svhn(folder.path() / "train_32x32.mat", {1, 2}, true);
  make_svhn(folder.path() / "extra_32x32.mat", {3}, true);
  EXPECT_EQ(open_svhn(folder.path(), Split::Train)->size(), 2);
  const auto both = open_svhn(folder.path(), Split::Train, true);
  ASSERT_EQ(both->size(), 3);
  EXPECT_EQ(both->label(2), 3);
  EXPECT_EQ(image(*both, 2), expected_image(0, 3072));
}

TEST(Svhn, RejectsLabelsOutOfRange) {
  for (const double label : {0.0, 11.0, -1.0, 2.5, 1e300}) {
    const TempFolder folder;
    make_svhn(folder.path() / "train_32x32.mat", {1, label}, true);
    expect_io_error([&] { open_svhn(folder.path(), Split::Train); },
                    "expects a whole number 1..10");
  }
}

TEST(Svhn, RejectsHostileSizes) {
  // In an uncompressed file the sizes of X stand at 128 (header) + 8 (tag) + 16 (flags) + 8 (tag).
  constexpr size_t kSizes = 160;
  for (const auto& [index, value] : {std::pair<size_t, uint32_t>{3, 0x7FFFFFFF},
                                     {3, 0xFFFFFFFF},
                                     {0, 0x7FFFFFFF},
                                     {3, 4},
                                     {3, 0},
                                     {2, 1}}) {
    const TempFolder folder;
    const fs::path file = folder.path() / "train_32x32.mat";
    make_svhn(file, {1, 2, 3}, false);
    Bytes bytes = load(file);
    uint32_t before = 0;
    std::memcpy(&before, bytes.data() + kSizes, 4);
    ASSERT_EQ(before, 32u) << "the layout of the file is not what this test thinks";
    std::memcpy(bytes.data() + kSizes + 4 * index, &value, 4);
    store(file, bytes);
    expect_io_error([&] { open_svhn(folder.path(), Split::Train); }, "train_32x32.mat");
  }
}

TEST(Svhn, RejectsHostileHeadersBeforeTheyAreBelieved) {
  // Lengths of flags, sizes and name of X, at 128 (header) + 8 (tag) and on.
  // And its class: for a cell (1) or a structure (2) of these sizes matio would take their memory.
  for (const auto& [at, value] : {std::pair<size_t, uint32_t>{140, 0x7FFFFFFF},
                                  {144, 1},
                                  {144, 2},
                                  {156, 0x78756E69},
                                  {156, 0},
                                  {156, 7},
                                  {176, 0x7FFF0001}}) {
    const TempFolder folder;
    const fs::path file = folder.path() / "train_32x32.mat";
    make_svhn(file, {1, 2, 3}, false);
    Bytes bytes = load(file);
    std::memcpy(bytes.data() + at, &value, 4);
    store(file, bytes);
    expect_io_error([&] { open_svhn(folder.path(), Split::Train); }, "does not begin as a plain");
  }
}

}  // namespace
}  // namespace espalier::data::testing
