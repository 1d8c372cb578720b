// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/core/safetensors.h>

#include "temporary_folder.h"

namespace espalier {
namespace {

using testing::expect_error;

std::vector<uint8_t> file_of(const std::string& header, size_t data_bytes) {
  std::vector<uint8_t> out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<uint8_t>(header.size() >> (8 * i)));
  out.insert(out.end(), header.begin(), header.end());
  out.resize(out.size() + data_bytes, 1);
  return out;
}

// One of them took 48 seconds when each tensor's entry cost time in proportion to all others.
TEST(SafetensorsHeader, TakesTimeInProportionToItsLength) {
  constexpr int kTensors = 100'000;
  std::string header = "{";
  for (int i = 0; i < kTensors; ++i) {
    header += cat(i == 0 ? "" : ",",
                  "\"t",
                  i,
                  R"(":{"dtype":"U8","shape":[1],"data_offsets":[)",
                  i,
                  ",",
                  i + 1,
                  "]}");
  }
  const auto bytes = file_of(header + "}", kTensors);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_safetensors(bytes, "f").tensors.size(), static_cast<size_t>(kTensors));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(SafetensorsHeader, HidesNothingBehindItsEnd) {
  EXPECT_NO_THROW(parse_safetensors(file_of("{}  ", 0), "f"));
  expect_error<IoError>([] { parse_safetensors(file_of(std::string("{}\0hidden", 9), 0), "f"); },
                        {"f: header is not valid JSON", "column 3"});
  expect_error<IoError>([] { parse_safetensors(file_of("{}{}", 0), "f"); }, {"column 3"});
}

TEST(SafetensorsHeader, HasNoKeyTwiceAtAnyDepth) {
  const char* kHeaders[] = {
      R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}})",
      R"({"a":{"dtype":"U8","dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
      R"({"__metadata__":{"k":"1","k":"2"}})"};
  for (const char* header : kHeaders) {
    expect_error<IoError>([&] { parse_safetensors(file_of(header, 0), "f"); }, {"given twice"});
  }
}

}  // namespace
}  // namespace espalier
