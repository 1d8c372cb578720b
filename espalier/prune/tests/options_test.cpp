// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/prune/options.h>

namespace espalier::prune {
namespace {

namespace testing = espalier::testing;

std::vector<Option> declared() {
  return {real_option("begin", 0.2, 0.0, 1.0, "", "first update"),
          integer_option("rounds", 1, 1, 10, "", "updates"),
          flag_option("reset", "start again"),
          choice_option("allocation", {"global", "erk"}, "division"),
          text_option("layers", "none", "names")};
}

OptionValues with(const std::map<std::string, std::string>& given) {
  return {"test", declared(), given};
}

TEST(OptionValues, HaveTheDeclaredDefaults) {
  const OptionValues values = with({});
  EXPECT_EQ(values.real("begin"), 0.2);
  EXPECT_EQ(values.integer("rounds"), 1);
  EXPECT_FALSE(values.flag("reset"));
  EXPECT_EQ(values.text("allocation"), "global");
  EXPECT_EQ(values.text("layers"), "none");
}

TEST(OptionValues, TakeWhatIsGiven) {
  const OptionValues values = with({{"begin", "0.5"}, {"rounds", "7"}, {"reset", "true"}});
  EXPECT_EQ(values.real("begin"), 0.5);
  EXPECT_EQ(values.integer("rounds"), 7);
  EXPECT_TRUE(values.flag("reset"));
}

TEST(OptionValues, RefuseWhatDoesNotParse) {
  EXPECT_THROW(with({{"begin", "half"}}), ValueError);
  EXPECT_THROW(with({{"begin", "0.5x"}}), ValueError);
  EXPECT_THROW(with({{"begin", "nan"}}), ValueError);
  EXPECT_THROW(with({{"begin", ""}}), ValueError);
  EXPECT_THROW(with({{"rounds", "1.5"}}), ValueError);
  EXPECT_THROW(with({{"rounds", "99999999999999999999"}}), ValueError);
  EXPECT_THROW(with({{"reset", "yes"}}), ValueError);
}

TEST(OptionValues, RefuseWhatIsOutOfRange) {
  EXPECT_THROW(with({{"begin", "1.01"}}), ValueError);
  EXPECT_THROW(with({{"rounds", "0"}}), ValueError);
  EXPECT_THROW(with({{"allocation", "lamp"}}), ValueError);
}

TEST(OptionValues, RefuseWhatAnotherOptionMakesIdle) {
  std::vector<Option> options = declared();
  options.push_back(needing(real_option("until", 1.0, 0.0, 1.0, "", "spread"),
                            {.option = "rounds", .values = {"1"}, .other_than = true}));
  options.push_back(
      needing(flag_option("keep", "a flag"), {.option = "allocation", .values = {"erk", "er"}}));
  const auto made = [&](const std::map<std::string, std::string>& given) {
    return OptionValues("test", options, given);
  };
  EXPECT_EQ(made({{"rounds", "1"}}).real("until"), 1.0);  // a default needs nothing
  EXPECT_EQ(made({{"rounds", "2"}, {"until", "0.5"}}).real("until"), 0.5);
  EXPECT_TRUE(made({{"keep", "true"}, {"allocation", "erk"}}).flag("keep"));
  EXPECT_FALSE(made({{"keep", "false"}}).flag("keep"));
  testing::expect_error<ValueError>(
      [&] {
        made({{"until", "1"}});
      },
      {"test: option until", "needs rounds other than 1, got 1"});
  testing::expect_error<ValueError>(
      [&] {
        made({{"keep", "true"}});
      },
      {"option keep", "needs allocation erk, er, got global"});
}

TEST(SplitNames, BlanksAroundNamesAreNotOfThem) {
  EXPECT_EQ(split_names(" conv1,\tfc 2 , ,,conv2.weight "),
            (std::vector<std::string>{"conv1", "fc 2", "conv2.weight"}));
  EXPECT_TRUE(split_names("").empty());
  EXPECT_TRUE(split_names("  ").empty());
}

TEST(OptionValues, NameTheKnownOptionsInErrors) {
  try {
    with({{"beginn", "0.5"}});
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("begin, rounds"), std::string::npos);
  }
}

TEST(OptionValues, RefuseReadingAsAnotherKind) {
  EXPECT_THROW(with({}).real("rounds"), TypeError);
  EXPECT_THROW(with({}).real("missing"), ValueError);
}

}  // namespace
}  // namespace espalier::prune
