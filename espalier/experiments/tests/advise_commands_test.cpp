// SPDX-License-Identifier: Apache-2.0
// The commands that `advise` prints: all of them parse, and some are run.
#include <map>
#include <set>

#include <espalier/experiments/advise/commands.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/run/training.h>
#include <espalier/experiments/settings/train_settings.h>

#include "advise_runs.h"
#include "command_line.h"

namespace espalier::experiments::advise {
namespace {

using espalier::testing::TemporaryFolder;
using Arguments = std::vector<std::string>;

/// What `train` makes of its flags before it looks for files.
void parse_training(const Arguments& arguments) {
  OptionTexts own;
  OptionTexts of_method;
  ASSERT_EQ(arguments.size() % 2, 1U);
  for (size_t i = 1; i < arguments.size(); i += 2) {
    ASSERT_TRUE(arguments[i].starts_with("--")) << arguments[i];
    const std::string name = arguments[i].substr(2);
    const auto& options = train_table().options();
    const bool is_own = std::ranges::find(options, name, &Option::name) != options.end();
    EXPECT_TRUE((is_own ? own : of_method).emplace(name, arguments[i + 1]).second) << name;
  }
  const TrainSettings settings = train_table().read("train", own);
  const auto choice = chosen_method(settings.run.prune, of_method);
  EXPECT_EQ(choice.has_value(), !settings.run.prune.empty());
  if (!choice) return;
  EXPECT_NO_THROW(prune::make_pruner(*choice));
}

TEST(AdviseCommands, AllOfThemParse) {
  std::set<std::string> tried;
  for (const OptionTexts& texts : many_answers()) {
    const Question question = question_of(texts);
    for (const Ranked& one : advice(question).ranked) {
      for (const Step& step : steps_for(one.candidate, question)) {
        SCOPED_TRACE(command_line(step));
        if (step.arguments.front() == "train") {
          parse_training(step.arguments);
          continue;
        }
        // Others get as far as the file that is not there.
        if (!tried.insert(command_line(step)).second) continue;
        Arguments arguments = step.arguments;
        for (std::string& argument : arguments) {
          if (argument.starts_with("runs/")) argument = "/nowhere/" + argument;
          if (argument == "cifar10") argument = "synth";
        }
        const Outcome outcome = espalier_command(arguments);
        EXPECT_EQ(outcome.code, kExitBadUse);
        EXPECT_NE(outcome.err.find("/nowhere/runs/" + one.candidate.method->name),
                  std::string::npos)
            << outcome.err;
      }
    }
  }
}

/// Small enough for a test, below `folder`.
Arguments tiny(Arguments arguments, const TemporaryFolder& folder) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].starts_with("runs/")) arguments[i] = (folder / arguments[i]).string();
    if (arguments[i] == "--epochs" && arguments[i + 1] != "0") arguments[i + 1] = "1";
  }
  const std::map<std::string, Arguments> more = {
      {"train", {"--width", "0.25", "--batch", "16", "--train-size", "40", "--test-size", "20"}},
      {"eval", {"--test-size", "20"}},
      {"bench", {"--batch", "2", "--rounds", "1", "--round-seconds", "0"}}};
  if (const auto found = more.find(arguments.front()); found != more.end()) {
    arguments.insert(arguments.end(), found->second.begin(), found->second.end());
  }
  const bool threads = arguments.front() != "shrink" && arguments.front() != "compress";
  if (threads) arguments.insert(arguments.end(), {"--threads", "1"});
  return arguments;
}

TEST(AdviseCommands, ThoseOfTheBestDoWhatTheySay) {
  for (const OptionTexts& texts :
       {OptionTexts{{"runtime", "dense"}, {"target", "macs=0.5"}, {"training", "some"}},
        OptionTexts{{"runtime", "espalier"}, {"training", "none"}},
        OptionTexts{{"runtime", "n-m"}, {"training", "full"}, {"trained", "no"}},
        OptionTexts{{"inputs", "differ"}, {"target", "macs=0.5"}, {"training", "some"}},
        OptionTexts{{"target", "size=0.3"}, {"training", "some"}, {"labels", "few"}}}) {
    const TemporaryFolder folder;
    OptionTexts answers = texts;
    answers["model"] = "resnet20";
    answers["data"] = "synth";
    const Question question = question_of(answers);
    const Advice told = advice(question);
    for (const Step& step : steps_for(told.ranked.front().candidate, question)) {
      const Outcome outcome = espalier_command(tiny(step.arguments, folder));
      EXPECT_EQ(outcome.code, kExitOk) << command_line(step) << "\n" << outcome.err;
    }
  }
}

TEST(AdviseCommands, NamesWithBlanksAreQuoted) {
  const Question question =
      question_of({{"trained", "yes"}, {"weights", "my runs/it's.safetensors"}});
  const Advice told = advice(question);
  const auto& magnitude = told.ranked[static_cast<size_t>(place(told, "magnitude"))];
  EXPECT_NE(command_line(steps_for(magnitude.candidate, question).front())
                .find("--weights 'my runs/it'\\''s.safetensors' "),
            std::string::npos);
}

}  // namespace
}  // namespace espalier::experiments::advise
