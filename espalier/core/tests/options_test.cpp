// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/core/options/table.h>
#include <espalier/core/tests/temporary_folder.h>

namespace espalier {
namespace {

/// A number with a type of its own.
class Share {
 public:
  explicit Share(double value) : value_(value) {}
  double value() const { return value_; }

 private:
  double value_;
};

enum class Kind : uint8_t { Plain, Fancy };

struct Settings {
  double begin = 0.2;
  int64_t rounds = 1;
  bool reset = false;
  std::string allocation = "global";
  std::string layers = "none";
  Kind kind = Kind::Fancy;
  Share share = Share(0.5);
  std::optional<Share> other = {};
  std::vector<std::string> exclude = {};
};

const OptionTable<Settings>& table() {
  static const OptionTable<Settings> table = {
      {&Settings::begin, "begin", {0, 1}, "", "first update"},
      {&Settings::rounds, "rounds", {1, 10}, "", "updates"},
      {&Settings::reset, "reset", "start again"},
      {&Settings::allocation, "allocation", {"global", "erk"}, "division"},
      {&Settings::layers, "layers", "names"},
      {&Settings::kind, "kind", {"plain", "fancy"}, "which"},
      {&Settings::share, "share", {0, 1}, "", "a share"},
      {&Settings::other, "other", {0, 1}, "", "another, or none"},
      {&Settings::exclude, "exclude", "a list"},
  };
  return table;
}

Settings with(const OptionTexts& given) {
  return table().read("test", given);
}

std::string refusal(const OptionTexts& given) {
  try {
    with(given);
    return "none";
  } catch (const ValueError& error) {
    return error.what();
  }
}

TEST(OptionTable, AsksBackWhereAPercentageCameForAFraction) {
  EXPECT_TRUE(refusal({{"begin", "90"}}).ends_with("expects 0 .. 1, got 90; 0.9?"));
  EXPECT_TRUE(refusal({{"begin", "99.5"}}).ends_with("; 0.995?"));
  EXPECT_TRUE(refusal({{"begin", "101"}}).ends_with("got 101"));
  EXPECT_TRUE(refusal({{"begin", "-5"}}).ends_with("got -5"));
  EXPECT_TRUE(refusal({{"rounds", "90"}}).ends_with("got 90"));  // no fraction
}

TEST(OptionTable, HasTheDefaultsOfTheStruct) {
  const OptionTexts texts = table().texts(Settings{});
  const OptionTexts expected = {{"begin", "0.2"},
                                {"rounds", "1"},
                                {"reset", "false"},
                                {"allocation", "global"},
                                {"layers", "none"},
                                {"kind", "fancy"},
                                {"share", "0.5"},
                                {"other", ""},
                                {"exclude", ""}};
  EXPECT_EQ(texts, expected);
  for (const Option& option : table().options()) {
    EXPECT_EQ(option.default_value, expected.at(option.name)) << option.name;
  }
  const Settings read = with({});
  EXPECT_EQ(read.begin, 0.2);
  EXPECT_EQ(read.kind, Kind::Fancy);
}

TEST(OptionTable, SetsMembersFromTexts) {
  const Settings read = with({{"begin", "0.5"},
                              {"rounds", "7"},
                              {"reset", "true"},
                              {"kind", "plain"},
                              {"share", "0.25"},
                              {"other", "0.75"},
                              {"exclude", "conv1, fc"}});
  EXPECT_EQ(read.begin, 0.5);
  EXPECT_EQ(read.rounds, 7);
  EXPECT_TRUE(read.reset);
  EXPECT_EQ(read.kind, Kind::Plain);
  EXPECT_EQ(read.share.value(), 0.25);
  ASSERT_TRUE(read.other.has_value());
  EXPECT_EQ(read.other->value(), 0.75);
  EXPECT_EQ(read.exclude, (std::vector<std::string>{"conv1", "fc"}));
}

TEST(OptionTable, WhatItTellsReadsBackAsTheSame) {
  const OptionTexts given = {{"begin", "0.1"}, {"kind", "plain"}, {"exclude", "a,b"}};
  OptionTexts told = table().texts(with(given));
  told.erase("other");  // nothing has no text
  EXPECT_EQ(table().texts(with(told)), table().texts(with(given)));
}

TEST(OptionTable, RefusesWhatDoesNotParse) {
  EXPECT_THROW(with({{"begin", "half"}}), ValueError);
  EXPECT_THROW(with({{"begin", "0.5x"}}), ValueError);
  EXPECT_THROW(with({{"begin", "nan"}}), ValueError);
  EXPECT_THROW(with({{"begin", ""}}), ValueError);
  EXPECT_THROW(with({{"rounds", "1.5"}}), ValueError);
  EXPECT_THROW(with({{"rounds", "99999999999999999999"}}), ValueError);
  EXPECT_THROW(with({{"reset", "yes"}}), ValueError);
  EXPECT_THROW(with({{"kind", "Plain"}}), ValueError);
}

TEST(OptionTable, RefusesWhatIsOutOfRange) {
  EXPECT_THROW(with({{"begin", "1.01"}}), ValueError);
  EXPECT_THROW(with({{"rounds", "0"}}), ValueError);
  EXPECT_THROW(with({{"allocation", "lamp"}}), ValueError);
  EXPECT_THROW(with({{"other", "-0.1"}}), ValueError);
}

TEST(OptionTable, RefusesWhatAnotherOptionMakesIdle) {
  struct Needy {
    int64_t rounds = 1;
    double until = 1.0;
    std::string allocation = "global";
    bool keep = false;
  };
  const OptionTable<Needy> needy = {
      {&Needy::rounds, "rounds", {1, 10}, "", "updates"},
      OptionEntry<Needy>(&Needy::until, "until", {0, 1}, "", "spread")
          .needing_other_than("rounds", {"1"}),
      {&Needy::allocation, "allocation", {"global", "erk"}, "division"},
      OptionEntry<Needy>(&Needy::keep, "keep", "a flag").needing("allocation", {"erk", "er"}),
  };
  EXPECT_EQ(needy.read("test", {{"rounds", "1"}}).until, 1.0);  // a default needs nothing
  EXPECT_EQ(needy.read("test", {{"rounds", "2"}, {"until", "0.5"}}).until, 0.5);
  EXPECT_TRUE(needy.read("test", {{"keep", "true"}, {"allocation", "erk"}}).keep);
  EXPECT_FALSE(needy.read("test", {{"keep", "false"}}).keep);
  testing::expect_error<ValueError>(
      [&] {
        needy.read("test", {{"until", "1"}});
      },
      {"test: --until", "needs --rounds other than 1, got 1"});
  testing::expect_error<ValueError>(
      [&] {
        needy.read("test", {{"keep", "true"}});
      },
      {"--keep", "needs --allocation erk or er, got global"});
}

TEST(OptionTable, NamesTheKnownOptionsInErrors) {
  testing::expect_error<ValueError>(
      [] {
        with({{"beginn", "0.5"}});
      },
      {"test: no option 'beginn'", "begin, rounds"});
}

TEST(SplitNames, BlanksAroundNamesAreNotOfThem) {
  EXPECT_EQ(split_names(" conv1,\tfc 2 , ,,conv2.weight "),
            (std::vector<std::string>{"conv1", "fc 2", "conv2.weight"}));
  EXPECT_TRUE(split_names("").empty());
  EXPECT_TRUE(split_names("  ").empty());
  EXPECT_EQ(join_names({"a", "b"}), "a,b");
}

/// A struct with parts that have tables of their own.
struct Whole {
  Settings part = {.begin = 0.4};
  double own = 1.0;
};

const OptionTable<Whole>& whole_table() {
  static const OptionTable<Whole> whole = OptionTable<Whole>()
                                              .add({&Whole::own, "own", {0, 2}, "", "of the whole"})
                                              .include(&Whole::part, table())
                                              .needing("rounds", "own", {"2"});
  return whole;
}

TEST(OptionTable, TakesInTheTablesOfParts) {
  const Whole read = whole_table().read("test", {{"begin", "0.5"}, {"own", "2"}, {"rounds", "3"}});
  EXPECT_EQ(read.own, 2.0);
  EXPECT_EQ(read.part.begin, 0.5);
  EXPECT_EQ(read.part.rounds, 3);
  EXPECT_EQ(whole_table().texts(read).at("begin"), "0.5");
  EXPECT_EQ(whole_table().options().front().name, "own");
  // The default of a part is what the whole gives it.
  EXPECT_EQ(whole_table().options().at(1).default_value, "0.4");
  EXPECT_EQ(whole_table().read("test", {}).part.begin, 0.4);
  testing::expect_error<ValueError>(
      [] {
        whole_table().read("test", {{"rounds", "3"}});
      },
      {"--rounds needs --own 2, got 1"});
  OptionTable<Whole> copy = whole_table();
  EXPECT_THROW(copy.needing("absent", "own", {"2"}), ValueError);
}

}  // namespace
}  // namespace espalier
