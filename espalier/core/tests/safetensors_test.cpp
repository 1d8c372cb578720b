// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/safetensors.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include <espalier/core/detail/bytes.h>

#include "temporary_folder.h"

namespace espalier {
namespace {

using testing::expect_error;
using testing::slurp;
using testing::TemporaryFolder;

std::string with_length(uint64_t length, const std::string& rest) {
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + rest;
}

std::string file_of(const std::string& header, const std::string& data = "") {
  return with_length(header.size(), header + data);
}

SafetensorsFile parse(const std::string& content) {
  return parse_safetensors({content.begin(), content.end()}, "test.safetensors");
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" +
         offsets + "]}}";
}

// The bytes of the format's own description, put together by hand.
TEST(Safetensors, ReadsAHandMadeFile) {
  std::string data(12, '\0');
  const float f = 1.5f;
  const int64_t i = -3;
  std::memcpy(data.data(), &i, 8);
  std::memcpy(data.data() + 8, &f, 4);
  const SafetensorsFile file =
      parse(file_of(R"({"__metadata__":{"format":"pt"},)"
                    R"("x.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]},)"
                    R"("n":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}   )",
                    data));
  ASSERT_EQ(file.tensors.size(), 2u);
  EXPECT_EQ(file.tensors.at("x.weight").shape(), (Shape{1, 1}));
  EXPECT_EQ(file.tensors.at("x.weight").dtype(), DType::F32);
  EXPECT_EQ(file.tensors.at("x.weight").item(), 1.5);
  EXPECT_EQ(file.tensors.at("n").rank(), 0);
  EXPECT_EQ(file.tensors.at("n").item(), -3.0);
  EXPECT_EQ(file.metadata.at("format"), "pt");
}

TEST(Safetensors, WritesFloatsAsBFloat16WhereAsked) {
  const testing::TemporaryFolder dir;
  const auto path = dir.path() / "half.safetensors";
  SafetensorsFile file;
  file.tensors["w"] = Tensor::from<float>({2, 2}, {1.0f, 1.0f + 0x1p-8f, -3.0f, 0.5f});
  file.tensors["exact"] = Tensor::from<float>({1}, {1.0f + 0x1p-8f});
  file.bfloat16 = {"w"};
  save_safetensors(path, file);
  const SafetensorsFile again = load_safetensors(path);
  EXPECT_EQ(again.tensors.at("w").shape(), Shape({2, 2}));
  EXPECT_EQ(again.tensors.at("w").to_vector<float>(),
            (std::vector<float>{1.0f, 1.0f, -3.0f, 0.5f}));
  EXPECT_EQ(again.tensors.at("exact").to_vector<float>(), std::vector<float>{1.0f + 0x1p-8f});
  EXPECT_EQ(again.bfloat16, std::set<std::string>{"w"});
  EXPECT_TRUE(again.checked);
}

TEST(Safetensors, RefusesBFloat16OfWhatIsNoFloat32Tensor) {
  const testing::TemporaryFolder dir;
  SafetensorsFile file;
  file.tensors["n"] = Tensor::arange(3);
  file.bfloat16 = {"n"};
  EXPECT_THROW(save_safetensors(dir.path() / "a", file), ValueError);
  file.bfloat16 = {"absent"};
  EXPECT_THROW(save_safetensors(dir.path() / "a", file), ValueError);
}

TEST(Safetensors, ReadsHalfBfloatAndBool) {
  // Halves: 1, -2, 2^-24 (the smallest subnormal), infinity. Bfloat16: 1, -2.
  const std::string half("\x00\x3c\x00\xc0\x01\x00\x00\x7c", 8);
  const Tensor h = parse(file_of(entry("F16", "4", "0,8"), half)).tensors.at("a");
  EXPECT_EQ(h.dtype(), DType::F32);
  EXPECT_EQ(h.to_vector<float>(),
            (std::vector<float>{1.0f, -2.0f, 0x1p-24f, std::numeric_limits<float>::infinity()}));
  const std::string brain("\x80\x3f\x00\xc0", 4);
  EXPECT_EQ(parse(file_of(entry("BF16", "2", "0,4"), brain)).tensors.at("a").to_vector<float>(),
            (std::vector<float>{1.0f, -2.0f}));
  const Tensor b =
      parse(file_of(entry("BOOL", "3", "0,3"), std::string("\x00\x01\x05", 3))).tensors.at("a");
  EXPECT_EQ(b.dtype(), DType::U8);
  EXPECT_EQ(b.to_vector<uint8_t>(), (std::vector<uint8_t>{0, 1, 1}));
}

TEST(Safetensors, ATensorOfAnUnknownTypeIsLeftToWhoeverNeedsIt) {
  const SafetensorsFile file =
      parse(file_of(R"({"scale":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]},)"
                    R"("a":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
                    "wxyz\x07\x08"));
  EXPECT_EQ(file.tensors.size(), 1u);
  EXPECT_EQ(file.tensors.at("a").to_vector<uint8_t>(), (std::vector<uint8_t>{7, 8}));
  EXPECT_EQ(file.unreadable, (std::map<std::string, std::string>{{"scale", "F8_E4M3"}}));
  EXPECT_NO_THROW(check_readable(file, "a", "f"));
  testing::expect_error<IoError>([&] { check_readable(file, "scale", "f"); },
                                 {"f: tensor 'scale' has element type 'F8_E4M3'", "supported are"});
  // Its bytes count all the same: nothing may hide between tensors.
  EXPECT_THROW(parse(file_of(R"({"scale":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,3]},)"
                             R"("a":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
                             "wxyz\x07\x08")),
               IoError);
}

TEST(Safetensors, HalfConversionAgreesWithItsDefinitionEverywhere) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = (bits >> 10) & 0x1f;
    const double fraction = (bits & 0x3ff) / 1024.0;
    const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
    const float got = detail::half_to_float(static_cast<uint16_t>(bits));
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(got), fraction != 0.0) << bits;
      if (fraction == 0.0) {
        EXPECT_EQ(got, sign * std::numeric_limits<double>::infinity());
      }
    } else {
      const double want = exponent == 0 ? fraction * std::pow(2.0, -14)
                                        : (1.0 + fraction) * std::pow(2.0, exponent - 15);
      ASSERT_EQ(got, sign * want) << bits;
    }
  }
}

TEST(Safetensors, KeepsEveryTypeLayoutAndMetadata) {
  const TemporaryFolder folder;
  SafetensorsFile file;
  file.metadata = {{"epoch", "3"}, {"quote", "\"\\\n\u00e4"}};
  file.tensors["f32"] = Tensor::from<float>({2, 2}, {1, -0.0f, 3, 1e-45f});
  file.tensors["f64"] = Tensor::from<double>({1}, {0.1});
  file.tensors["i32"] = Tensor::from<int32_t>({2}, {-1, 2147483647});
  file.tensors["i64"] = Tensor::from<int64_t>({1}, {std::numeric_limits<int64_t>::min()});
  file.tensors["u8"] = Tensor::from<uint8_t>({3}, {0, 1, 255});
  file.tensors["scalar"] = Tensor::scalar(7.0);
  file.tensors["empty"] = Tensor::empty({0, 3});
  file.tensors["lanes"] = Tensor::arange(17 * 6, DType::F32).reshape({17, 6}).to(Layout::Nchw16n);
  file.tensors["view"] = Tensor::arange(6, DType::F32).reshape({2, 3}).transpose(0, 1);
  save_safetensors(folder / "x.safetensors", file);
  const SafetensorsFile back = load_safetensors(folder / "x.safetensors");
  EXPECT_EQ(back.metadata, file.metadata);
  ASSERT_EQ(back.tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    const Tensor& got = back.tensors.at(name);
    EXPECT_EQ(got.shape(), tensor.shape()) << name;
    EXPECT_EQ(got.dtype(), tensor.dtype()) << name;
    EXPECT_EQ(got.to_vector<double>(), tensor.to_vector<double>()) << name;
  }
  EXPECT_EQ(back.tensors.at("i64").to_vector<int64_t>(),
            file.tensors.at("i64").to_vector<int64_t>());
}

TEST(Safetensors, AlignsEveryTensorToItsElementSize) {
  const TemporaryFolder folder;
  SafetensorsFile file;
  file.tensors["a"] = Tensor::zeros({3}, DType::U8);
  file.tensors["b"] = Tensor::zeros({1}, DType::F32);
  file.tensors["c"] = Tensor::zeros({1}, DType::F64);
  save_safetensors(folder / "x", file);
  const std::string content = slurp(folder / "x");
  EXPECT_EQ(detail::little_endian({reinterpret_cast<const uint8_t*>(content.data()), 8}) % 8, 0u);
  EXPECT_NE(content.find(R"("c":{"data_offsets":[0,8])"), std::string::npos);
  EXPECT_NE(content.find(R"("b":{"data_offsets":[8,12])"), std::string::npos);
  EXPECT_NE(content.find(R"("a":{"data_offsets":[12,15])"), std::string::npos);
}

TEST(Safetensors, EqualContentGivesEqualBytes) {
  const TemporaryFolder folder;
  const Tensor plain = Tensor::arange(20, DType::F32).reshape({5, 4});
  save_safetensors(folder / "x", {{{"w", plain}, {"a", Tensor::scalar(1)}}, {{"k", "v"}}});
  save_safetensors(folder / "y",
                   {{{"a", Tensor::scalar(1)}, {"w", plain.to(Layout::Nchw16n)}}, {{"k", "v"}}});
  EXPECT_EQ(slurp(folder / "x"), slurp(folder / "y"));
}

TEST(Safetensors, ReadsAFileWithoutTensors) {
  EXPECT_TRUE(parse(file_of("{}")).tensors.empty());
}

struct Hostile {
  const char* what;
  std::string content;
  const char* message;
};

std::vector<Hostile> hostile_files() {
  const std::string four(4, '\0');
  const std::string pair = R"("b":{"dtype":"U8","shape":[4],"data_offsets":)";
  return {
      {"empty", "", "truncated"},
      {"seven bytes", std::string(7, '\0'), "truncated"},
      {"no header", with_length(0, ""), "does not start"},
      {"header length 2^63", with_length(1ull << 63, "{}"), "beyond the format's limit"},
      {"header length 2^64-1", with_length(~0ull, "{}"), "beyond the format's limit"},
      {"header longer than the file", with_length(1000, "{}"), "truncated"},
      {"another format", "\x89PNG\r\n\x1a\n" + std::string(100, 'x'), "It is a PNG picture"},
      {"no known format", std::string(100, '\x7f'), "beyond the format's limit"},
      {"an array", file_of("[]"), "does not start"},
      {"broken JSON", file_of(R"({"a":)"), "not valid JSON"},
      {"text after the JSON", file_of("{} x"), "not valid JSON"},
      {"NaN as a size", file_of(entry("U8", "NaN", "0,4"), four), "not valid JSON"},
      {"bytes that are not UTF-8", file_of("{\"\xff\":1}"), "not valid JSON"},
      {"deep nesting", file_of("{\"a\":" + std::string(50000, '[')), "nested too deeply"},
      {"a name twice",
       file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
               R"("a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
               four),
       "given twice"},
      {"entry is a number", file_of(R"({"a":1})"), "needs dtype"},
      {"no offsets", file_of(R"({"a":{"dtype":"U8","shape":[]}})"), "needs dtype"},
      {"type is a number",
       file_of(R"({"a":{"dtype":1,"shape":[4],"data_offsets":[0,4]}})", four),
       "dtype is not a text"},
      {"negative size", file_of(entry("U8", "-4", "0,4"), four), "no number in range"},
      {"fraction as size", file_of(entry("U8", "4.0", "0,4"), four), "no number in range"},
      {"text as size", file_of(entry("U8", "\"4\"", "0,4"), four), "no number in range"},
      {"size 2^63", file_of(entry("U8", "9223372036854775808", "0,4"), four), "no number in range"},
      {"product overflows to 4",
       file_of(entry("U8", "4611686018427387904,4,1,4", "0,4"), four),
       "absurdly large"},
      {"product overflows to 0",
       file_of(entry("F32", "4294967296,4294967296", "0,0")),
       "absurdly large"},
      {"huge size beside a zero",
       file_of(entry("F32", "0,4611686018427387904", "0,0")),
       "absurdly large"},
      {"nine dimensions", file_of(entry("U8", "1,1,1,1,1,1,1,1,4", "0,4"), four), "at most 8"},
      {"shape is an object",
       file_of(R"({"a":{"dtype":"U8","shape":{},"data_offsets":[0,4]}})", four),
       "shape must be a list"},
      {"offsets backwards", file_of(entry("U8", "4", "4,0"), four), "truncated or damaged"},
      {"negative offset", file_of(entry("U8", "4", "-4,0"), four), "must be two numbers"},
      {"three offsets", file_of(entry("U8", "4", "0,4,4"), four), "must be two numbers"},
      {"data cut short", file_of(entry("U8", "5", "0,5"), four), "truncated"},
      {"offset 2^64-1", file_of(entry("U8", "4", "0,18446744073709551615"), four), "truncated"},
      {"shape smaller than data", file_of(entry("U8", "3", "0,4"), four), "needs 3 bytes"},
      {"shape larger than data", file_of(entry("F32", "2", "0,4"), four), "needs 8 bytes"},
      {"bytes after the last tensor",
       file_of(entry("U8", "3", "0,3"), four),
       "belong to no tensor"},
      {"overlap",
       file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)" + pair + "[2,6]}}",
               std::string(6, '\0')),
       "overlaps"},
      {"the same bytes twice",
       file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)" + pair + "[0,4]}}", four),
       "overlaps"},
      {"hole",
       file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)" + pair + "[5,9]}}",
               std::string(9, '\0')),
       "belong to no tensor"},
      {"metadata is a list", file_of(R"({"__metadata__":[]})"), "not an object"},
      {"metadata holds a number", file_of(R"({"__metadata__":{"a":1}})"), "not a text"},
  };
}

TEST(Safetensors, NamesWhatIsWrongWithAHostileFile) {
  for (const Hostile& file : hostile_files()) {
    SCOPED_TRACE(file.what);
    expect_error<IoError>([&] { parse(file.content); }, {"test.safetensors", file.message});
  }
}

TEST(Safetensors, RefusesEveryTruncationOfAGoodFile) {
  const TemporaryFolder folder;
  save_safetensors(folder / "x", {{{"w", Tensor::arange(9, DType::F32)}}, {}});
  const std::string good = slurp(folder / "x");
  ASSERT_NO_THROW(parse(good));
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_THROW(parse(good.substr(0, length)), IoError) << length;
  }
}

TEST(Safetensors, NamesMissingFilesAndDirectories) {
  const TemporaryFolder folder;
  expect_error<IoError>([&] { load_safetensors(folder / "missing"); }, {"missing"});
  expect_error<IoError>([&] { load_safetensors(folder.path()); }, {"directory"});
}

TEST(Safetensors, RefusesToSaveWhatItCouldNotReadBack) {
  const TemporaryFolder folder;
  save_safetensors(folder / "x", {{{"w", Tensor::scalar(1)}}, {}});
  const std::string before = slurp(folder / "x");
  const auto save = [&](const std::string& name, const Tensor& tensor) {
    save_safetensors(folder / "x", {{{name, tensor}}, {}});
  };
  expect_error<ValueError>([&] { save("w", Tensor()); }, {"'w' is undefined"});
  expect_error<ValueError>([&] { save("__metadata__", Tensor::scalar(1)); }, {"__metadata__"});
  expect_error<ValueError>([&] { save("\xff", Tensor::scalar(1)); }, {"UTF-8"});
  EXPECT_EQ(slurp(folder / "x"), before);
}

TEST(Safetensors, ReadsThePublishedResnet20) {
  const char* root = std::getenv("ESPALIER_CHECKPOINTS");
  if (root == nullptr) GTEST_SKIP() << "ESPALIER_CHECKPOINTS is not set";
  const auto path = std::filesystem::path(root) / "resnet20_cifar10.safetensors";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const SafetensorsFile file = load_safetensors(path);
  int64_t parameters = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (name.ends_with(".weight") || name.ends_with(".bias")) parameters += tensor.numel();
  }
  EXPECT_EQ(parameters, 269722);
  EXPECT_EQ(file.tensors.at("layer3.2.conv2.weight").shape(), (Shape{64, 64, 3, 3}));
}

}  // namespace
}  // namespace espalier
