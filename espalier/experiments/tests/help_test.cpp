// SPDX-License-Identifier: Apache-2.0
// What --help shows: texts, choices, defaults, and the names of flags.
#include <algorithm>

#include <CLI/CLI.hpp>

#include <espalier/experiments/given_options.h>
#include <espalier/experiments/options.h>
#include <espalier/prune/drive/registry.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

std::string help(std::vector<std::string> verb) {
  verb.emplace_back("--help");
  return espalier_command(verb).out;
}

// The lines of one option: its names, and its text where CLI11 puts it below.
std::string help_of(const std::vector<std::string>& verb, const std::string& names) {
  const std::string text = help(verb);
  const size_t at = text.find("\n  " + names);
  if (at == std::string::npos) return "no " + names;
  const size_t end = text.find("\n  -", at + 1);
  return text.substr(at + 3, end - at - 3);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Option shared_option(const std::string& name) {
  for (const Option& option : pruning_options()) {
    if (option.name == name) return option;
  }
  ADD_FAILURE() << "no option " << name;
  return {};
}

constexpr const char* kOwnDefault = "the method's own, see `espalier methods NAME`";

TEST(SharedOptions, SayWhatEveryMethodSaysAndTakeEveryChoice) {
  for (const prune::Method& method : prune::methods()) {
    for (const Option& declared : method.options) {
      const Option shared = shared_option(declared.name);
      EXPECT_TRUE(has(shared.help, ": " + declared.help)) << method.name << ": " << shared.help;
      for (const std::string& choice : declared.choices) {
        EXPECT_EQ(std::count(shared.choices.begin(), shared.choices.end(), choice), 1)
            << method.name << " " << declared.name << " " << choice;
      }
      EXPECT_TRUE(shared.default_value == declared.default_value ||
                  shared.default_value == kOwnDefault)
          << method.name << " " << declared.name << " " << shared.default_value;
    }
  }
}

TEST(SharedOptions, NameTheirMethodsUnlessThereAreMany) {
  EXPECT_TRUE(shared_option("filter-strength").help.starts_with("Of ssl: "));
  const std::string rounds = shared_option("rounds").help;
  EXPECT_TRUE(has(rounds, "Of synflow: rounds of scoring and pruning.")) << rounds;
  EXPECT_TRUE(has(rounds, "Of fisher, taylor: updates.")) << rounds;
  const std::string allocation = shared_option("allocation").help;
  EXPECT_TRUE(has(allocation, " methods: ")) << allocation;
  EXPECT_FALSE(has(allocation, "magnitude")) << allocation;
}

TEST(SharedOptions, HaveNoDefaultOfOneMethodWhereTheyDiffer) {
  for (const char* name : {"allocation", "rounds", "batches", "until", "end", "frequency"}) {
    EXPECT_EQ(shared_option(name).default_value, kOwnDefault) << name;
  }
  for (const char* verb : {"train", "score"}) {
    const std::string text = help_of({verb}, "--allocation");
    EXPECT_TRUE(has(text, "global")) << text;
    EXPECT_TRUE(has(text, "Not every method has each choice.")) << text;
    EXPECT_TRUE(has(text, std::string("Default: ") + kOwnDefault + ".")) << text;
  }
  EXPECT_TRUE(has(shared_option("scoring-mode").help, "Not every method has each choice"));
}

TEST(Help, SentencesEndBeforeUnitAndDefault) {
  const std::string text = help_of({"train"}, "--min-per-layer");
  EXPECT_TRUE(has(text, "Kept in every layer at least. Unit: units. Default: 0.")) << text;
  for (const char* doubled : {".. Unit", ".. Default", ".. One of"}) {
    EXPECT_FALSE(has(help({"train"}), doubled)) << doubled;
  }
}

TEST(Help, OfFlagsTellsTheDefaultAndBothNames) {
  EXPECT_TRUE(has(help_of({"train"}, "--nesterov,--no-nesterov "), "Default: off."));
  EXPECT_TRUE(has(help_of({"train"}, "--no-decay-1d,--decay-1d "), "Default: off."));
  for (const char* verb : {"train", "eval", "score"}) {
    EXPECT_FALSE(has(help({verb}), "{false}")) << verb;
    EXPECT_FALSE(has(help({verb}), "--no-no-")) << verb;
  }
}

TEST(GivenOptions, AFlagIsTurnedOffByItsOppositeName) {
  GivenOptions given;
  CLI::App app;
  given.declare(app, training_options(), "Training");
  std::vector<std::string> reversed = {"--no-nesterov", "--decay-1d"};
  app.parse(reversed);
  EXPECT_EQ(given.given().at("no-decay-1d"), "false");
  EXPECT_EQ(given.given().at("nesterov"), "false");
}

TEST(Help, MarksFilesThatMustBeGiven) {
  EXPECT_TRUE(has(help({"eval"}), "--weights FILE REQUIRED"));
  for (const char* verb : {"quantize", "compress", "shrink", "widen", "decompress"}) {
    EXPECT_TRUE(has(help({verb}), "--weights FILE REQUIRED")) << verb;
    EXPECT_TRUE(has(help({verb}), "--out FILE REQUIRED")) << verb;
  }
}

TEST(Help, OfScoreAsksForTheMethodInOneOfTwoPlaces) {
  EXPECT_TRUE(has(help_of({"score"}, "method NAME"), "in this place or as --method"));
  EXPECT_FALSE(has(help_of({"score"}, "--method NAME"), "REQUIRED"));
}

TEST(Help, NamesCompressedFilesWhereTheyAreTaken) {
  for (const char* verb : {"train", "eval", "quantize", "compress", "shrink", "widen", "score"}) {
    EXPECT_TRUE(has(help_of({verb}, "--weights"), ".edc")) << verb;
  }
}

TEST(Help, NamesEveryDataSetAndTheDefaultsOfSeeds) {
  EXPECT_TRUE(has(help_of({"train"}, "--data "), "svhn+extra"));
  EXPECT_TRUE(has(help({"data", "synth"}), "--seed UINT=0"));
  EXPECT_TRUE(has(help({"data", "info"}), "--data-seed UINT=0"));
  EXPECT_TRUE(has(help_of({"bench", "train"}, "--sparsity"), "Unit: fraction removed."));
}

}  // namespace
}  // namespace espalier::experiments
