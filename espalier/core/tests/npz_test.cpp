// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/npz.h>

#include <cstring>
#include <limits>

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include "temporary_folder.h"

namespace espalier {
namespace {

using testing::expect_error;
using testing::slurp;
using testing::TemporaryFolder;

const std::string kMagic = "\x93NUMPY";

std::string bytes_of(const void* data, size_t count) {
  return {static_cast<const char*>(data), count};
}

// A version-1 file with the given dict and data.
std::string npy(const std::string& dict, const std::string& data) {
  std::string out = kMagic + std::string("\x01\x00", 2);
  out += static_cast<char>(dict.size() & 0xff);
  out += static_cast<char>(dict.size() >> 8);
  return out + dict + data;
}

std::string dict(const std::string& descr, const std::string& shape, bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") +
         ", 'shape': (" + shape + "), }     \n";
}

std::string zip_of(const std::vector<std::pair<std::string, std::string>>& members, bool deflate) {
  std::string out(1 << 20, '\0');
  size_t used = 0;
  archive* zip = archive_write_new();
  archive_write_set_format_zip(zip);
  deflate ? archive_write_zip_set_compression_deflate(zip)
          : archive_write_zip_set_compression_store(zip);
  archive_write_set_bytes_per_block(zip, 0);
  archive_write_open_memory(zip, out.data(), out.size(), &used);
  for (const auto& [name, content] : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<int64_t>(content.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_write_header(zip, entry);
    archive_write_data(zip, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(zip);
  archive_write_free(zip);
  out.resize(used);
  return out;
}

const float kSix[] = {0, 1, 2, 3, 4, 5};
const std::string kSixBytes = bytes_of(kSix, sizeof(kSix));

TEST(Npy, ReadsRowMajorAndFortranOrder) {
  const TemporaryFolder folder;
  const Tensor c = load_npy(folder.write("c.npy", npy(dict("<f4", "2, 3"), kSixBytes)));
  EXPECT_EQ(c.shape(), (Shape{2, 3}));
  EXPECT_EQ(c.to_vector<float>(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  // Columns first: element (i, j) is the value i + 2 j.
  const Tensor f = load_npy(folder.write("f.npy", npy(dict("<f4", "2, 3", true), kSixBytes)));
  EXPECT_EQ(f.to_vector<float>(), (std::vector<float>{0, 2, 4, 1, 3, 5}));
  EXPECT_TRUE(f.is_contiguous());
}

TEST(Npy, ReadsVersionsTwoAndThree) {
  const TemporaryFolder folder;
  const std::string d = dict("<f4", "6,");
  for (const char version : {'\x02', '\x03'}) {
    std::string file = kMagic + version + '\0' + static_cast<char>(d.size());
    file += std::string(3, '\0') + d + kSixBytes;
    EXPECT_EQ(load_npy(folder.write("x.npy", file)).shape(), (Shape{6}));
  }
}

TEST(Npy, ReadsEveryType) {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& descr, const std::string& data) {
    return load_npy(folder.write("x.npy", npy(dict(descr, ""), data)));
  };
  const double f8 = -0.1;
  const int32_t i4 = -7;
  const int64_t i8 = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(read("<f8", bytes_of(&f8, 8)).item(), -0.1);
  EXPECT_EQ(read("<i4", bytes_of(&i4, 4)).item(), -7.0);
  EXPECT_EQ(read("<i8", bytes_of(&i8, 8)).to_vector<int64_t>().at(0), i8);
  EXPECT_EQ(read("|u1", "\xff").item(), 255.0);
  EXPECT_EQ(read("|b1", "\x01").dtype(), DType::U8);
}

TEST(Npy, AcceptsKeysInAnyOrderAndEitherQuote) {
  const TemporaryFolder folder;
  const auto path = folder.write(
      "x.npy", npy(R"({"shape":(2,3),"fortran_order":False,"descr":"<f4"})", kSixBytes));
  EXPECT_EQ(load_npy(path).shape(), (Shape{2, 3}));
}

TEST(Npy, NamesWhatIsWrongWithAHostileFile) {
  const TemporaryFolder folder;
  const std::string good = npy(dict("<f4", "2, 3"), kSixBytes);
  const struct {
    std::string content;
    const char* message;
  } files[] = {
      {"", "truncated"},
      {"PK\x03\x04", "wrong magic"},
      {kMagic, "truncated"},
      {kMagic + std::string("\x04\x00", 2) + good.substr(8), "version 4"},
      {kMagic + std::string("\x00\x00", 2) + good.substr(8), "version 0"},
      {kMagic + std::string("\x02\x00\xff\xff\xff\xff", 6), "absurdly long"},
      {good.substr(0, 40), "truncated"},
      {good.substr(0, good.size() - 1), "needs 24 bytes"},
      {good + "x", "needs 24 bytes"},
      {npy(dict("<f2", "2"), "abcd"), "element type '<f2'"},
      {npy(dict(">f4", "1"), "abcd"), "element type '>f4'"},
      {npy(dict("|O", "1"), "abcd"), "element type '|O'"},
      {npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "abcd"), "quoted"},
      {npy(dict("<f4", "-1"), "abcd"), "expected a size"},
      {npy(dict("<f4", "9999999999999999999"), ""), "absurdly large"},
      {npy(dict("<f4", "4294967296, 4294967296"), ""), "absurdly large"},
      {npy(dict("<f4", "0, 999999999999999999"), ""), "absurdly large"},
      {npy(dict("<f4", "1,1,1,1,1,1,1,1,1"), "abcd"), "more than 8"},
      {npy("", ""), "expected '{'"},
      {npy("{}", ""), "lacks"},
      {npy("{'descr': '<f4', 'descr': '<f4'}", ""), "repeated"},
      {npy("{'evil': '<f4'}", ""), "unknown"},
      {npy("{'descr': '<f4", ""), "not closed"},
      {npy("{'descr': '<f4', 'fortran_order': 1, 'shape': ()}", "abcd"), "True or False"},
      {npy(dict("<f4", "") + "x", "abcd"), "after its end"},
  };
  for (const auto& file : files) {
    SCOPED_TRACE(file.message);
    const auto path = folder.write("x.npy", file.content);
    expect_error<IoError>([&] { load_npy(path); }, {"x.npy", file.message});
  }
}

TEST(Npz, KeepsEveryTypeAndShape) {
  const TemporaryFolder folder;
  std::map<std::string, Tensor> arrays;
  arrays["f32"] = Tensor::arange(6, DType::F32).reshape({2, 3});
  arrays["f64"] = Tensor::from<double>({1}, {0.1});
  arrays["i32"] = Tensor::from<int32_t>({2}, {-1, 5});
  arrays["i64"] = Tensor::from<int64_t>({1}, {std::numeric_limits<int64_t>::min()});
  arrays["u8"] = Tensor::from<uint8_t>({3}, {0, 1, 255});
  arrays["scalar"] = Tensor::scalar(2.0);
  arrays["empty"] = Tensor::empty({0, 4});
  arrays["lanes"] = Tensor::arange(34, DType::F32).reshape({17, 2}).to(Layout::Nchw16n);
  save_npz(folder / "x.npz", arrays);
  const auto back = load_npz(folder / "x.npz");
  ASSERT_EQ(back.size(), arrays.size());
  for (const auto& [name, array] : arrays) {
    EXPECT_EQ(back.at(name).shape(), array.shape()) << name;
    EXPECT_EQ(back.at(name).dtype(), array.dtype()) << name;
    EXPECT_EQ(back.at(name).to_vector<int64_t>(), array.to_vector<int64_t>()) << name;
  }
  EXPECT_EQ(back.at("f64").item(), 0.1);
}

TEST(Npz, EqualArraysGiveEqualBytes) {
  const TemporaryFolder folder;
  save_npz(folder / "x", {{"a", Tensor::arange(5)}});
  save_npz(folder / "y", {{"a", Tensor::arange(5)}});
  EXPECT_EQ(slurp(folder / "x"), slurp(folder / "y"));
}

TEST(Npz, ReadsStoredAndDeflatedMembers) {
  const TemporaryFolder folder;
  for (const bool deflate : {false, true}) {
    const auto path =
        folder.write("x.npz", zip_of({{"a.npy", npy(dict("<f4", "2, 3"), kSixBytes)}}, deflate));
    EXPECT_EQ(load_npz(path).at("a").to_vector<float>(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  }
}

TEST(Npz, RefusesDamagedArchives) {
  const TemporaryFolder folder;
  const std::string good = zip_of({{"a.npy", npy(dict("<f4", "2, 3"), kSixBytes)}}, false);
  const auto load = [&](const std::string& content) { load_npz(folder.write("x.npz", content)); };
  ASSERT_NO_THROW(load(good));
  EXPECT_THROW(load(""), IoError);
  EXPECT_THROW(load("not a zip at all, but long enough to look at"), IoError);
  std::string flipped = good;
  flipped[good.find(kSixBytes) + 6] ^= 1;
  expect_error<IoError>([&] { load(flipped); }, {"x.npz"});
  for (size_t length = 0; length < good.find(kSixBytes) + kSixBytes.size(); ++length) {
    EXPECT_THROW(load(good.substr(0, length)), IoError) << length;
  }
  EXPECT_THROW(load_npz(folder / "missing"), IoError);
  EXPECT_THROW(load_npz(folder.path()), IoError);
}

TEST(Npz, NamesTheBadMember) {
  const TemporaryFolder folder;
  const std::string array = npy(dict("<f4", "2, 3"), kSixBytes);
  const auto load = [&](const std::vector<std::pair<std::string, std::string>>& members) {
    load_npz(folder.write("x.npz", zip_of(members, true)));
  };
  expect_error<IoError>([&] { load({{"readme.txt", "hello"}}); }, {"x.npz:readme.txt"});
  expect_error<IoError>(
      [&] {
        load({{"a.npy", array.substr(0, array.size() - 1)}});
      },
      {"x.npz:a.npy"});
  expect_error<IoError>([&] { load({{"a.npy", array}, {"a.npy", array}}); }, {"twice"});
}

TEST(Npz, StopsAMemberThatInflatesBeyondItsHeader) {
  const TemporaryFolder folder;
  const std::string bomb = npy(dict("<f4", "2, 3"), std::string(50'000'000, '\0'));
  const auto path = folder.write("x.npz", zip_of({{"a.npy", bomb}}, true));
  expect_error<IoError>([&] { load_npz(path); }, {"more bytes than its header says"});
}

TEST(Npz, KeepsTheOldFileWhenSavingFails) {
  const TemporaryFolder folder;
  save_npz(folder / "x.npz", {{"a", Tensor::scalar(1)}});
  const std::string before = slurp(folder / "x.npz");
  EXPECT_THROW(save_npz(folder / "x.npz", {{"a", Tensor()}}), ValueError);
  EXPECT_EQ(slurp(folder / "x.npz"), before);
}

}  // namespace
}  // namespace espalier
