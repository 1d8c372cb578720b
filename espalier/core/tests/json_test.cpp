// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/json.h>

#include <chrono>

#include <gtest/gtest.h>

#include "temporary_folder.h"

namespace espalier {
namespace {

using detail::json_whole;
using detail::parse_json;
using testing::expect_error;
using Json = nlohmann::json;
using Ordered = nlohmann::ordered_json;

TEST(ParseJson, ReadsEveryKindOfValue) {
  const char* text = R"( {"z": [1, -2, 2.5, true, null, "é\n"], "a": {"b": {}, "c": []}} )";
  EXPECT_EQ(parse_json<Json>(text, "f"), Json::parse(text));
  EXPECT_EQ(parse_json<Ordered>(text, "f").dump(), Ordered::parse(text).dump());
  EXPECT_EQ(parse_json<Json>("18446744073709551615", "f").get<uint64_t>(), UINT64_MAX);
}

TEST(ParseJson, KeepsTheOrderOfMembers) {
  EXPECT_EQ(parse_json<Ordered>(R"({"b":1,"a":{"d":2,"c":3}})", "f").dump(),
            R"({"b":1,"a":{"d":2,"c":3}})");
}

TEST(ParseJson, TellsWhereATextIsNoJson) {
  expect_error<IoError>([] { parse_json<Json>("{\n  \"a\": x}", "the file"); },
                        {"the file is not valid JSON", "line 2, column 8", "'x}'"});
  expect_error<IoError>([] { parse_json<Json>("[1, 2", "f"); }, {"ends too early"});
  expect_error<IoError>([] { parse_json<Json>("", "f"); }, {"ends too early"});
  expect_error<IoError>([] { parse_json<Json>("{} x", "f"); }, {"column 4"});
  expect_error<IoError>([] { parse_json<Json>("1e999", "f"); }, {"not valid JSON"});
  expect_error<IoError>([] { parse_json<Json>("\"\xff\"", "f"); }, {"not valid JSON"});
}

TEST(ParseJson, NeverQuotesTheLibrary) {
  for (const char* text : {"{", "[1,", "\"\xff\"", "1e999", "{\"a\":1,\"a\":2}", "nul", "{}{}"}) {
    try {
      parse_json<Json>(text, "f");
      ADD_FAILURE() << text;
    } catch (const IoError& error) {
      EXPECT_EQ(std::string(error.what()).find("json.exception"), std::string::npos);
    }
  }
}

TEST(ParseJson, RefusesWhatStandsBehindAZero) {
  expect_error<IoError>([] { parse_json<Json>(std::string_view("{}\0garbage", 10), "f"); },
                        {"line 1, column 3"});
}

TEST(ParseJson, RefusesANameGivenTwice) {
  expect_error<IoError>([] { parse_json<Json>(R"({"a":1,"b":{"a":1},"a":2})", "f"); },
                        {"'a' is given twice"});
  EXPECT_NO_THROW(parse_json<Json>(R"([{"a":1},{"a":1}])", "f"));
}

TEST(ParseJson, RefusesDepthBeforeAnythingIsBuilt) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_NO_THROW(parse_json<Json>(nested(64), "f"));
  expect_error<IoError>([&] { parse_json<Json>(nested(65), "f"); }, {"nested too deeply"});
  expect_error<IoError>([&] { parse_json<Ordered>(nested(1 << 20), "f"); }, {"nested too deeply"});
  expect_error<IoError>([&] { parse_json<Json>("[[1]]", "f", {.depth = 1}); }, {"more than 1 "});
}

TEST(ParseJson, RefusesATextThatIsTooLong) {
  expect_error<IoError>([] { parse_json<Json>("[1, 2]", "f", {.bytes = 5}); },
                        {"6 bytes", "at most 5"});
}

// Quadratic, it would take minutes.
TEST(ParseJson, TakesTimeInProportionToItsLength) {
  std::string object = "{";
  std::string list = "[";
  for (int i = 0; i < 200'000; ++i) {
    object += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":[]";
    list += i == 0 ? "{}" : ",{}";
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_json<Json>(object + "}", "f").size(), 200'000u);
  EXPECT_EQ(parse_json<Ordered>(object + "}", "f").size(), 200'000u);
  EXPECT_EQ(parse_json<Json>(list + "]", "f").size(), 200'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(JsonWhole, TakesWholeNumbersHoweverTheyAreWritten) {
  EXPECT_EQ(json_whole(Json(7)), 7);
  EXPECT_EQ(json_whole(Json(-7)), -7);
  EXPECT_EQ(json_whole(Json(5e6)), 5'000'000);
  for (const char* text : {"0.5", "1e300", "-1e300", "18446744073709551615", "\"1\"", "null"}) {
    EXPECT_EQ(json_whole(Json::parse(text)), std::nullopt) << text;
  }
}

TEST(JsonWords, LeavesOutTheNameOfTheException) {
  try {
    Json::object().at("batch");
    FAIL();
  } catch (const Json::exception& error) {
    EXPECT_EQ(detail::json_words(error), "key 'batch' not found");
  }
}

}  // namespace
}  // namespace espalier
