// SPDX-License-Identifier: Apache-2.0
// SVHN's MATLAB files: what is read, and headers that lie.
#include <cstring>

#include <zlib.h>

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

// A MATLAB v5 file written out: what the format's description says, and lengths that lie.
class WrittenOut {
 public:
  WrittenOut& element(uint32_t type, const Bytes& data) {
    number(type);
    number(static_cast<uint32_t>(data.size()));
    bytes.insert(bytes.end(), data.begin(), data.end());
    bytes.resize((bytes.size() + 7) / 8 * 8);
    return *this;
  }
  void number(uint32_t value) {
    const auto* first = reinterpret_cast<const uint8_t*>(&value);
    bytes.insert(bytes.end(), first, first + 4);
  }
  Bytes bytes;
};

Bytes numbers(const std::vector<uint32_t>& values) {
  WrittenOut out;
  for (const uint32_t value : values) out.number(value);
  return out.bytes;
}

struct Array {
  uint8_t name;
  uint32_t array_class;  // 6 double, 9 uint8
  std::vector<uint32_t> sizes;
  uint32_t type;  // 2 uint8, 9 double
  Bytes data;
};

// As an element, plain or packed.
Bytes matrix(const Array& array, bool packed) {
  WrittenOut inner;
  inner.element(6, numbers({array.array_class, 0}))
      .element(5, numbers(array.sizes))
      .element(1, {array.name})
      .element(array.type, array.data);
  WrittenOut out;
  out.element(14, inner.bytes);
  if (!packed) return out.bytes;
  Bytes squeezed(compressBound(out.bytes.size()));
  uLongf size = squeezed.size();
  compress(squeezed.data(), &size, out.bytes.data(), out.bytes.size());
  squeezed.resize(size);
  WrittenOut outer;
  outer.number(15);
  outer.number(static_cast<uint32_t>(size));
  outer.bytes.insert(outer.bytes.end(), squeezed.begin(), squeezed.end());
  return outer.bytes;
}

void write_mat(const fs::path& file, const std::vector<Array>& arrays, bool packed) {
  const std::string text = "MATLAB 5.0 MAT-file";
  Bytes bytes(text.begin(), text.end());
  bytes.resize(124, ' ');
  for (const uint8_t byte : {0, 1, int{'I'}, int{'M'}}) bytes.push_back(byte);
  for (const Array& array : arrays) {
    const Bytes element = matrix(array, packed);
    bytes.insert(bytes.end(), element.begin(), element.end());
  }
  store(file, bytes);
}

Bytes doubles(const std::vector<double>& values) {
  const auto* first = reinterpret_cast<const uint8_t*>(values.data());
  return {first, first + 8 * values.size()};
}

TEST(Svhn, DataOfAnotherLengthThanItsSizesSayIsRefused) {
  const Array labels{'y', 6, {2, 1}, 9, doubles({1, 2})};
  const Array images{'X', 9, {32, 32, 3, 2}, 2, Bytes(6144, 5)};
  for (const bool packed : {false, true}) {
    SCOPED_TRACE(packed);
    const TempFolder folder;
    const fs::path file = folder.path() / "train_32x32.mat";
    const auto open = [&] { open_svhn(folder.path(), Split::Train); };
    write_mat(file, {images, labels}, packed);
    EXPECT_EQ(image(*open_svhn(folder.path(), Split::Train), 1), Bytes(3072, 5));
    for (const size_t size : {size_t{0},
                              size_t{4},
                              size_t{100},
                              size_t{3072},
                              size_t{6143},
                              size_t{6145},
                              size_t{6152}}) {
      Array other = images;
      other.data.resize(size, 5);
      write_mat(file, {other, labels}, packed);
      expect_io_error(open, "an array of 6144 numbers by its dimensions");
    }
    Array other = images;
    other.type = 99;
    write_mat(file, {other, labels}, packed);
    expect_io_error(open, "data of type 99");
    other = labels;
    other.data = doubles({1});
    write_mat(file, {images, other}, packed);
    expect_io_error(open, "an array of 2 numbers by its dimensions, and 8 bytes");
    other = images;
    other.sizes = {32, 32, 3, 0x40000000};
    write_mat(file, {other, labels}, packed);
    expect_io_error(open, "more numbers than any file holds");
  }
}

TEST(Svhn, PackedDataThatEndsEarlyIsRefused) {
  // The tag of the data promises all of it, and the packed stream ends, rightly, after half.
  const TempFolder folder;
  const fs::path file = folder.path() / "train_32x32.mat";
  Bytes plain = matrix({'X', 9, {32, 32, 3, 2}, 2, Bytes(6144, 5)}, false);
  plain.resize(plain.size() / 2);
  Bytes squeezed(compressBound(plain.size()));
  uLongf size = squeezed.size();
  compress(squeezed.data(), &size, plain.data(), plain.size());
  squeezed.resize(size);
  write_mat(file, {}, false);
  Bytes bytes = load(file);
  const Bytes tag = numbers({15, static_cast<uint32_t>(size)});
  bytes.insert(bytes.end(), tag.begin(), tag.end());
  bytes.insert(bytes.end(), squeezed.begin(), squeezed.end());
  const Bytes labels = matrix({'y', 6, {2, 1}, 9, doubles({1, 2})}, true);
  bytes.insert(bytes.end(), labels.begin(), labels.end());
  store(file, bytes);
  expect_io_error([&] { open_svhn(folder.path(), Split::Train); }, "is longer than its element");
}

}  // namespace
}  // namespace espalier::data::testing
