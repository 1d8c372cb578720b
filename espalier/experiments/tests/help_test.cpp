// SPDX-License-Identifier: Apache-2.0
// What --help shows: texts, choices, defaults, and the names of flags.
#include <cstdio>
#include <sstream>

#include <CLI/CLI.hpp>

#include <espalier/experiments/failure.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/prune/drive/registry.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

std::string help(std::vector<std::string> verb) {
  verb.emplace_back("--help");
  return espalier_command(verb).out;
}

// The lines of one option: its names, and its text where that goes on.
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

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) out.push_back(line);
  return out;
}

TEST(Help, OfTrainFitsTwoScreens) {
  const std::vector<std::string> lines = lines_of(help({"train"}));
  EXPECT_LE(lines.size(), 100U);
  for (const std::string& line : lines) EXPECT_LE(line.size(), 100U) << line;
}

TEST(Help, IsTheSameWhereverTheDataLie) {
  // The command itself: a process reads its environment once.
  FILE* const pipe =
      ::popen("ESPALIER_DATA=/a/long/name/of/a/folder/for/which/a/line/breaks " ESPALIER_COMMAND
              " train --help",
              "r");
  ASSERT_NE(pipe, nullptr);
  std::string text;
  char part[4096];
  for (size_t n; (n = ::fread(part, 1, sizeof part, pipe)) > 0;) text.append(part, n);
  EXPECT_EQ(::pclose(pipe), 0);
  EXPECT_EQ(text, help({"train"}));
}

TEST(Help, OfTrainShowsWhatAllMethodsShareAndAnExample) {
  const std::string text = help({"train"});
  for (const char* shown :
       {"--lr", "--sparsity", "--target", "--pattern", "espalier train --data"}) {
    EXPECT_TRUE(has(text, shown)) << shown;
  }
  for (const char* hidden : {"--moved-fraction", "--allocation", "--loss-temperature"}) {
    EXPECT_FALSE(has(text, hidden)) << hidden;
  }
}

TEST(Help, OfTrainWithAMethodAddsThatMethodsOptions) {
  for (const prune::Method& method : prune::methods()) {
    for (const std::vector<std::string>& call :
         {std::vector<std::string>{"train", "--prune", method.name}, {"score", method.name}}) {
      const std::string text = help(call);
      EXPECT_TRUE(has(text, "Pruning with " + method.name + ":")) << call.front();
      for (const Option& option : method.options) {
        EXPECT_TRUE(has(text, "\n  --" + option.name + " ")) << method.name << " " << option.name;
      }
    }
  }
  const std::string rigl = help({"train", "--prune", "rigl"});
  EXPECT_FALSE(has(rigl, "--loss-temperature"));
  EXPECT_TRUE(has(rigl, "--just-dropped may-return|stays-out")) << rigl;
}

TEST(Help, OfAMethodThatIsUnknownIsAnError) {
  const Outcome outcome = espalier_command({"train", "--prune", "rigel", "--help"});
  EXPECT_EQ(outcome.code, kExitBadUse);
  EXPECT_TRUE(has(outcome.err, "rigel")) << outcome.err;
}

TEST(Help, TellsUnitsAndDefaults) {
  EXPECT_TRUE(has(help_of({"train"}, "--min-per-layer"), "(units) [0]"));
  EXPECT_TRUE(has(help_of({"train"}, "--shortcut"), "--shortcut A|B "));
  EXPECT_TRUE(has(help_of({"train"}, "--optimizer"), "one of sgd, adam, adamw, "));
  EXPECT_TRUE(has(help_of({"train"}, "--optimizer"), "[sgd]"));
}

TEST(Help, OfFlagsTellsHowTheyAreTurnedOff) {
  EXPECT_TRUE(has(help({"train"}), "  --[no-]nesterov "));
  EXPECT_TRUE(has(help({"train"}), "  --no-decay-1d "));
  for (const char* verb : {"train", "eval", "score"}) {
    EXPECT_FALSE(has(help({verb}), "{false}")) << verb;
    EXPECT_FALSE(has(help({verb}), "--no-no-")) << verb;
  }
}

TEST(GivenOptions, AFlagIsTurnedOffByItsOppositeName) {
  GivenOptions given;
  CLI::App app;
  given.declare(Verb(app), training_table().options(), "Training");
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
  EXPECT_TRUE(has(help_of({"bench", "train"}, "--sparsity"), "(fraction removed) [0]"));
}

}  // namespace
}  // namespace espalier::experiments
