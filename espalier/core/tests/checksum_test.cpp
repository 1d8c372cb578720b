// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/checksum.h>

#include <cstring>

#include <gtest/gtest.h>

#include <espalier/core/safetensors.h>

#include "temporary_folder.h"

namespace espalier {
namespace {

using testing::expect_error;
using testing::slurp;
using testing::TemporaryFolder;

std::vector<uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

std::string file_of(const std::string& header, const std::string& data = "") {
  const uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

SafetensorsFile parse(const std::string& content) {
  return parse_safetensors(bytes_of(content), "test.safetensors");
}

// A file with a checksum that another writer made: examples/pytorch/espalier_files.py.
const std::string& python_file() {
  static const std::string file = file_of(
      R"({"__metadata__":{"espalier.checksum":"crc32:6c1e2a71","espalier.format":"1","k":"v"},)"
      R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
      "12345678");
  return file;
}

// The check value that catalogues of CRCs give for CRC-32/ISO-HDLC.
TEST(Checksum, IsTheCrcOfZipAndEthernet) {
  EXPECT_EQ(detail::crc32(bytes_of("123456789")), 0xcbf43926U);
  EXPECT_EQ(detail::crc32({}), 0U);
}

TEST(Checksum, OfAnotherWriterIsTakenAndStaysOutOfTheMetadata) {
  const SafetensorsFile file = parse(python_file());
  EXPECT_TRUE(file.checked);
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"k", "v"}}));
  EXPECT_EQ(std::memcmp(file.tensors.at("a").raw(), "12345678", 8), 0);
}

TEST(Checksum, StandsInEveryFileThatIsWritten) {
  const TemporaryFolder folder;
  for (const std::map<std::string, std::string>& metadata :
       {std::map<std::string, std::string>{}, {{"a", "b"}, {"espalier_plan", "{}"}}}) {
    for (const std::map<std::string, Tensor>& tensors :
         {std::map<std::string, Tensor>{}, {{"w", Tensor::arange(5, DType::F32)}}}) {
      save_safetensors(folder / "x", {tensors, metadata});
      const SafetensorsFile back = load_safetensors(folder / "x");
      EXPECT_TRUE(back.checked);
      EXPECT_EQ(back.metadata, metadata);
      EXPECT_EQ(back.tensors.size(), tensors.size());
      EXPECT_EQ(slurp(folder / "x").substr(8, 44),
                R"({"__metadata__":{"espalier.checksum":"crc32:)");
    }
  }
}

TEST(Checksum, FindsAChangeOfAnyByte) {
  const TemporaryFolder folder;
  save_safetensors(folder / "x",
                   {{{"w", Tensor::arange(9, DType::F32)}, {"m", Tensor::ones({3}, DType::U8)}},
                    {{"architecture", R"({"model":"x"})"}}});
  for (const std::string& good : {slurp(folder / "x"), python_file()}) {
    ASSERT_NO_THROW(parse(good));
    for (size_t at = 0; at < good.size(); ++at) {
      for (const int change : {0x01, 0x20, 0x80, 0xff}) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ change);
        EXPECT_THROW(parse(bad), IoError) << at << " ^ " << change;
      }
    }
    for (size_t at = 0; at + 4 < good.size(); ++at) {  // a block of zeros, as disks leave them
      std::string bad = good;
      std::fill_n(bad.begin() + static_cast<long>(at), 4, '\0');
      if (bad == good) continue;
      EXPECT_THROW(parse(bad), IoError) << at;
    }
  }
}

TEST(Checksum, ErrorsNameTheFileAndTheRule) {
  std::string bad = python_file();
  bad.back() = 'x';
  expect_error<IoError>([&] { parse(bad); }, {"test.safetensors", "damaged", "checksum"});
  // Metadata that a program took along into a file of its own.
  const std::string entry = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  expect_error<IoError>(
      [&] {
        parse(file_of(R"({"__metadata__":{"k":"v","espalier.checksum":"crc32:6c1e2a71"},)" + entry,
                      "x"));
      },
      {"test.safetensors", "espalier.checksum", "leaves the metadata"});
  expect_error<IoError>(
      [&] { parse(file_of(R"({"__metadata__":{"espalier.format":"1"},)" + entry, "x")); },
      {"espalier.format", "no checksum at its place"});
}

TEST(Checksum, OfALaterFormatIsNamed) {
  std::vector<uint8_t> file = bytes_of(
      file_of(R"({"__metadata__":{"espalier.checksum":"crc32:00000000","espalier.format":"2"}})"));
  detail::put_checksum(file);
  expect_error<IoError>([&] { parse_safetensors(file, "later"); },
                        {"later version", "format 2", "known is 1"});
}

TEST(Checksum, IsNotAskedOfFilesFromElsewhere) {
  const SafetensorsFile file = parse(file_of(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      "x"));
  EXPECT_FALSE(file.checked);
}

TEST(Checksum, IsNotForCallersToSet) {
  const TemporaryFolder folder;
  for (const char* key : {"espalier.checksum", "espalier.format"}) {
    expect_error<ValueError>([&] { save_safetensors(folder / "x", {{}, {{key, "1"}}}); }, {key});
  }
}

}  // namespace
}  // namespace espalier
