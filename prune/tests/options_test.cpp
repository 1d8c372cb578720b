// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/prune/options.h>

namespace espalier::prune {
namespace {

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
