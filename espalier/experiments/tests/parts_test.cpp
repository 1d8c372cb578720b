// SPDX-License-Identifier: Apache-2.0
// The small parts of the command: options, tables.
#include <cmath>
#include <limits>
#include <set>

#include <espalier/experiments/console.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/run/run_folder.h>
#include <espalier/experiments/settings/method_options.h>
#include <espalier/experiments/settings/train_settings.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

TEST(Options, NamesAreUniqueOverTrainAndAllMethods) {
  std::set<std::string> names;
  for (const auto& list : {train_table().options(), options_of_any_method()}) {
    for (const Option& option : list) {
      EXPECT_TRUE(names.insert(option.name).second) << option.name;
      EXPECT_FALSE(option.help.empty()) << option.name;
    }
  }
}

TEST(Options, DefaultsAreValid) {
  const OptionTexts defaults = train_table().texts({});
  for (const Option& option : train_table().options()) {
    // The environment decides on data-root, and other tests on the environment.
    if (option.name != "data-root") {
      EXPECT_EQ(option.default_value, defaults.at(option.name)) << option.name;
    }
    EXPECT_NO_THROW(option.check("train", option.default_value)) << option.name;
  }
}

TEST(Options, NumberListsAreStrict) {
  EXPECT_EQ(parse_numbers("x", "0.5,0.75,1"), (std::vector<double>{0.5, 0.75, 1}));
  EXPECT_TRUE(parse_numbers("x", "").empty());
  for (const char* bad : {"a", "1,", ",1", "1;2", "1,,2", "nan", "inf", "1 "}) {
    EXPECT_THROW(parse_numbers("x", bad), ValueError) << bad;
  }
}

TEST(RunId, DependsOnWhatIsComputedOnly) {
  const nlohmann::ordered_json defaults = {
      {"model", "m"}, {"data", "d"}, {"lr", 0.1}, {"threads", 0}};
  auto settings = defaults;
  const std::string id = run_id(settings, defaults);
  settings["threads"] = 4;
  EXPECT_EQ(run_id(settings, defaults), id);
  settings["lr"] = 0.2;
  EXPECT_NE(run_id(settings, defaults), id);
}

TEST(Figures, CountsAreGroupedAndShortened) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(-1234567), "-1,234,567");
  EXPECT_EQ(grouped(std::numeric_limits<int64_t>::min()), "-9,223,372,036,854,775,808");
  EXPECT_EQ(short_count(999), "999");
  EXPECT_EQ(short_count(40813184), "40.81 M");
}

TEST(Figures, TableAlignsNumbersRightAndTextLeft) {
  EXPECT_EQ(text_table({{"name", "n"}, {"a", "5"}, {"bcdef", "10"}}),
            "name    n\n"
            "a       5\n"
            "bcdef  10\n");
}

TEST(Clock, ShowsMinutesAndHours) {
  EXPECT_EQ(clock_text(0), "0:00");
  EXPECT_EQ(clock_text(65.4), "1:05");
  EXPECT_EQ(clock_text(3723), "1:02:03");
}

TEST(Progress, RewritesALineOnATerminalAndIsSilentOtherwise) {
  for (const bool terminal : {false, true}) {
    std::ostringstream out;
    std::ostringstream err;
    Console console{.out = out, .err = err, .terminal = terminal};
    {
      Progress progress(console, 10);
      progress.update(5, {{"half"}});
      progress.line("stays");
    }
    EXPECT_EQ(out.str(), "");
    EXPECT_EQ(err.str().find("half") != std::string::npos, terminal);
    EXPECT_NE(err.str().find("stays\n"), std::string::npos);
    EXPECT_EQ(err.str().find('\r') != std::string::npos, terminal);
  }
}

}  // namespace
}  // namespace espalier::experiments
