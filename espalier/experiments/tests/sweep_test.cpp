// SPDX-License-Identifier: Apache-2.0
// `sweep`: grids of options, runs that are made once, means; `train --dry-run`; what may follow.
#include <algorithm>

#include <espalier/core/error.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/report/runs.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/experiments/sweep/grid.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

Option option_of(const char* name) {
  const std::vector<Option>& all = train_table().options();
  return *std::ranges::find(all, std::string(name), &Option::name);
}

TEST(Grid, ListsValuesAndRanges) {
  EXPECT_EQ(listed_values(option_of("lr"), "0.1,0.01"), (Words{"0.1", "0.01"}));
  EXPECT_EQ(listed_values(option_of("seed"), "1..3"), (Words{"1", "2", "3"}));
  EXPECT_EQ(listed_values(option_of("seed"), "7,1..2"), (Words{"7", "1", "2"}));
  EXPECT_EQ(listed_values(option_of("optimizer"), "sgd,adam"), (Words{"sgd", "adam"}));
  EXPECT_EQ(listed_values(option_of("prune"), "gmp,rigl"), (Words{"gmp", "rigl"}));
  EXPECT_EQ(listed_values(option_of("milestones"), "0.5,0.75;0.3"), (Words{"0.5,0.75", "0.3"}));
}

TEST(Grid, RefusesWhatIsNoList) {
  EXPECT_THROW(listed_values(option_of("seed"), "3..1"), ValueError);
  EXPECT_THROW(listed_values(option_of("lr"), "0.1..0.3"), ValueError);
  EXPECT_THROW(listed_values(option_of("lr"), "0.1,,0.2"), ValueError);
  const std::vector<Option>& options = train_table().options();
  EXPECT_THROW(grid_of(options, {{"seed", "1,1"}}), ValueError);
  EXPECT_THROW(grid_of(options, {{"seed", "1..200"}, {"epochs", "1..200"}}), ValueError);
}

TEST(Grid, IsEveryCombination) {
  const std::vector<GridPoint> points =
      grid_of(train_table().options(), {{"epochs", "2"}, {"lr", "0.1,0.2"}, {"seed", "1..3"}});
  ASSERT_EQ(points.size(), 6u);
  EXPECT_EQ(points[1].texts, (OptionTexts{{"epochs", "2"}, {"lr", "0.1"}, {"seed", "2"}}));
  EXPECT_EQ(points[1].varied, (OptionTexts{{"lr", "0.1"}, {"seed", "2"}}));
  EXPECT_EQ(grid_name(points[1].varied), "lr-0.1_seed-2");
  EXPECT_EQ(grid_name({}), "run");
  EXPECT_EQ(grid_name({{"data", "folder:/a b"}}), "data-folder--a-b");
}

std::vector<std::string> tiny_sweep(const std::filesystem::path& out, const Words& more) {
  std::vector<std::string> command = tiny_training(out, more);
  command[0] = "sweep";
  command.erase(std::find(command.begin(), command.end(), "--seed"),
                std::find(command.begin(), command.end(), "--seed") + 2);
  return command;
}

TEST(Sweep, MakesWhatIsMissingAndTellsMeans) {
  const TemporaryFolder folder;
  const Words grid = {
      "--epochs", "1", "--prune", "gmp", "--sparsity", "0.5,0.8", "--seed", "1..2", "--json"};
  const Outcome first = espalier_command(tiny_sweep(folder / "s", grid));
  ASSERT_EQ(first.code, 0) << first.err;
  const Json swept = first.json();
  ASSERT_EQ(swept.at("runs").size(), 4u);
  ASSERT_EQ(swept.at("groups").size(), 2u);
  for (const Json& group : swept.at("groups")) {
    double sum = 0.0;
    std::vector<double> values;
    for (const Json& run : swept.at("runs")) {
      if (run.at("settings").at("sparsity") != group.at("settings").at("sparsity")) continue;
      values.push_back(run.at("accuracy"));
      sum += values.back();
    }
    ASSERT_EQ(values.size(), 2u);
    EXPECT_EQ(group.at("runs"), 2);
    EXPECT_NEAR(group.at("accuracy").at("mean").get<double>(), sum / 2, 1e-12);
    // Of two values the deviation with n - 1 is their distance over the root of two.
    EXPECT_NEAR(group.at("accuracy").at("deviation").get<double>(),
                std::abs(values[0] - values[1]) / std::sqrt(2.0),
                1e-12);
  }
  const std::string model = slurp(folder / "s/seed-1_sparsity-0.8/model.safetensors");
  EXPECT_FALSE(model.empty());

  // One folder is lost: it alone is made again, to the same bytes.
  std::filesystem::remove_all(folder / "s/seed-1_sparsity-0.8");
  const Json again = espalier_command(tiny_sweep(folder / "s", grid)).json();
  int finished = 0;
  for (const Json& run : again.at("runs")) finished += run.at("status") == "was finished" ? 1 : 0;
  EXPECT_EQ(finished, 3);
  EXPECT_EQ(slurp(folder / "s/seed-1_sparsity-0.8/model.safetensors"), model);

  EXPECT_EQ(report::read_runs({folder / "s"}).size(), 4u);
  Words plain = grid;
  plain.pop_back();
  const std::string text = espalier_command(tiny_sweep(folder / "s", plain)).out;
  EXPECT_NE(text.find("+-"), std::string::npos) << text;
  EXPECT_NE(text.find("espalier report " + (folder / "s").string()), std::string::npos) << text;
}

TEST(Sweep, GoesOnBehindARunThatFails) {
  const TemporaryFolder folder;
  const Outcome outcome = espalier_command(
      tiny_sweep(folder / "s", {"--epochs", "1", "--train-size", "1000000,40", "--json"}));
  EXPECT_EQ(outcome.code, kExitFailed) << outcome.err;
  const Json runs = outcome.json().at("runs");
  EXPECT_EQ(runs.at(0).at("status"), "failed");
  EXPECT_EQ(runs.at(1).at("status"), "trained");
}

TEST(Sweep, FindsBadValuesBeforeTheFirstRun) {
  const TemporaryFolder folder;
  const Outcome outcome =
      espalier_command(tiny_sweep(folder / "s", {"--prune", "gmp", "--sparsity", "0.5,80"}));
  EXPECT_EQ(outcome.code, kExitBadUse);
  EXPECT_NE(outcome.err.find("0.8?"), std::string::npos) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "s"));
}

TEST(DryRun, TellsTheTrainingAndTouchesNothing) {
  const TemporaryFolder folder;
  const std::vector<std::string> command = tiny_training(folder / "run", {"--dry-run", "--json"});
  const Json plan = espalier_command(command).json();
  EXPECT_EQ(plan.at("model"), "resnet20");
  EXPECT_EQ(plan.at("train_samples"), 40);
  EXPECT_EQ(plan.at("steps"), 6);  // 40 samples in batches of 16, twice
  EXPECT_EQ(plan.at("status"), "new");
  EXPECT_GT(plan.at("training_memory").get<int64_t>(), 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));

  const Outcome trained = espalier_command(tiny_training(folder / "run", {"--json"}));
  ASSERT_EQ(trained.code, 0);
  EXPECT_EQ(trained.json().at("training_memory"), plan.at("training_memory"));
  EXPECT_EQ(trained.json().at("steps"), plan.at("steps"));
  const std::string before = slurp(folder / "run/run.json");
  EXPECT_EQ(espalier_command(command).json().at("status"), "is finished");
  EXPECT_EQ(slurp(folder / "run/run.json"), before);
  const Outcome other =
      espalier_command(tiny_training(folder / "run", {"--dry-run", "--lr", "0.2"}));
  EXPECT_EQ(other.code, kExitBadUse);
  EXPECT_NE(other.err.find("lr: the folder has 0.1, asked for 0.2"), std::string::npos)
      << other.err;
}

TEST(DryRun, OfAnExperimentListsItsRuns) {
  const TemporaryFolder folder;
  const Outcome outcome = espalier_command({"experiment",
                                            "run",
                                            "layer-density",
                                            "--preset",
                                            "smoke",
                                            "--out",
                                            (folder / "runs").string(),
                                            "--dry-run",
                                            "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json plan = outcome.json();
  EXPECT_FALSE(plan.at("runs").empty());
  EXPECT_EQ(plan.at("missing"), plan.at("runs").size());
  EXPECT_FALSE(std::filesystem::exists(folder / "runs"));
}

// Every command that train proposes is one that works.
TEST(Train, SaysWhatCanBeDoneNext) {
  const TemporaryFolder folder;
  const Json results =
      espalier_command(
          tiny_training(
              folder / "run",
              {"--prune", "magnitude", "--pattern", "channel", "--sparsity", "0.5", "--json"}))
          .json();
  const Json& next = results.at("next");
  ASSERT_EQ(next.size(), 4u);
  for (const Json& command : next) {
    std::istringstream words(command.get<std::string>());
    std::vector<std::string> arguments;
    for (std::string word; words >> word;) arguments.push_back(word);
    ASSERT_EQ(arguments.front(), "espalier");
    arguments.erase(arguments.begin());
    if (arguments.front() == "bench") continue;  // takes its time
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, 0) << command << ": " << outcome.err;
  }
  const std::string text = espalier_command(tiny_training(folder / "dense")).out;
  EXPECT_NE(text.find("next:\n  espalier eval --weights "), std::string::npos) << text;
  EXPECT_EQ(text.find("shrink"), std::string::npos) << text;  // no channel is gone
}

}  // namespace
}  // namespace espalier::experiments
