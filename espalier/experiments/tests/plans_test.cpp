// SPDX-License-Identifier: Apache-2.0
// The plans of the comparisons: what they ask for exists, and what they compare can be compared.
#include <algorithm>
#include <map>
#include <set>

#include <espalier/core/io.h>
#include <espalier/experiments/comparisons/findings.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/update/update.h>

#include "command_line.h"
#include "run_rows.h"

namespace espalier::experiments::comparisons {
namespace {

namespace fs = std::filesystem;

using espalier::testing::expect_error;
using espalier::testing::row;
using espalier::testing::TemporaryFolder;

TEST(Plans, DenseTrainingIsPlannedOnce) {
  Plan plan(scale_of(Preset::Smoke));
  const Where where = {"vgg16", "synth", 1};
  const size_t dense = plan.dense(where);
  plan.add(plan.fine_tuned(where, "magnitude", 0.9));
  plan.add(plan.fine_tuned(where, "snip", 0.9));
  EXPECT_EQ(plan.dense(where), dense);
  ASSERT_EQ(plan.runs().size(), 3u);
  EXPECT_EQ(plan.runs()[1].weights_of, dense);
  EXPECT_EQ(plan.runs()[2].weights_of, dense);
  PlannedRun early = plan.run(where);
  early.mask_of = 7;
  expect_error<ValueError>([&] { plan.add(early); }, {"not planned before"});
}

// Both sides of a claim must be planned, else the claim would never find data; and settings must
// be ones that exist, else hours pass until a run says so.
TEST(Plans, OfEveryPresetAskForWhatExistsAndFeedTheirClaims) {
  for (const Experiment& one : experiments()) {
    if (!one.unavailable.empty()) continue;
    for (const Preset preset : {Preset::Smoke, Preset::Quick, Preset::Paper}) {
      SCOPED_TRACE(one.name + " " + name(preset));
      Plan plan(scale_of(one, preset, "/nowhere"));
      one.plan(plan);
      std::vector<RunRow> rows;
      for (const PlannedRun& run : plan.runs()) {
        SCOPED_TRACE(run.title());
        const TrainSettings settings = train_table().read("train", run.settings);
        if (const std::string& method = settings.run.prune; !method.empty()) {
          const auto choice = prune::choose_method(prune::method(method), run.pruning);
          // Of channels, the share that takes so many weights with it: both ends of a weight must
          // stay.
          const double left = 1.0 - choice.settings.final().value();
          const bool channels = run.variant == "channel";
          EXPECT_NEAR(
              channels ? 1.0 - left * left : 1.0 - left, run.sparsity, channels ? 1e-4 : 1e-12);
        }
        RunRow made = row(run.method, run.variant, run.seed, 0.5);
        made.model = run.model;
        made.data = run.data;
        made.sparsity_asked = run.sparsity;
        made.compared = run.compared;
        rows.push_back(made);
      }
      EXPECT_EQ(one.claims.empty(), !one.accuracies);
      for (const Claim& claim : one.claims) {
        const Finding finding = judge(claim, rows);
        EXPECT_EQ(finding.overall.count, static_cast<int64_t>(plan.scale().seeds.size()))
            << claim.sentence;
      }
    }
  }
}

/// How a run divides its budget among the layers.
std::string allocation_of(const PlannedRun& run) {
  const prune::Method& method = prune::method(run.settings.at("prune"));
  const auto update = prune::last_update_of(prune::choose_method(method, run.pruning).timeline());
  return update ? update->allocation->name() : "of " + method.name;
}

// A comparison of scores or patterns must not be one of allocations. (Gates are held against
// filters at equal cost.)
TEST(Plans, HoldOnlyRunsThatDivideTheirBudgetAlikeAgainstEachOther) {
  for (const Experiment& one : experiments()) {
    if (one.name == "static-dynamic") continue;
    Plan plan(scale_of(one, Preset::Quick, "/nowhere"));
    one.plan(plan);
    for (const Claim& claim : one.claims) {
      std::map<std::string, std::set<std::string>> by_group;
      for (const PlannedRun& run : plan.runs()) {
        RunRow made = row(run.method, run.variant, run.seed, 0.5);
        made.model = run.model;
        made.data = run.data;
        made.sparsity_asked = run.sparsity;
        const std::string side = made.column(claim.column);
        if (!run.settings.contains("prune")) continue;
        if (!std::ranges::count(claim.higher, side) && !std::ranges::count(claim.lower, side)) {
          continue;
        }
        std::string group;
        for (const std::string& column : claim.within) group += made.column(column) + " ";
        by_group[group].insert(allocation_of(run));
      }
      for (const auto& [group, allocations] : by_group) {
        EXPECT_EQ(allocations.size(), 1U) << claim.sentence << " " << group << *allocations.begin()
                                          << " and " << *allocations.rbegin();
      }
    }
  }
}

// A method that is registered is in the table, without a line being written for it.
TEST(Plans, OfMethodsHaveEveryRegisteredMethodForEveryNetworkAndSeed) {
  const Experiment& table = experiment("methods");
  Plan plan(scale_of(table, Preset::Quick, "/nowhere"));
  table.plan(plan);
  std::map<std::string, int64_t> runs;
  for (const PlannedRun& run : plan.runs()) {
    ++runs[run.method];
    EXPECT_EQ(run.settings.at("epochs"), run.model == "resnet20" ? "10" : "6") << run.title();
    EXPECT_EQ(run.settings.at("train-size"), "10000");
    EXPECT_EQ(run.settings.at("width"), "0.25");
  }
  EXPECT_EQ(runs.size(), prune::methods().size() + 1);
  for (const prune::Method& method : prune::methods()) {
    const int64_t networks = method.facts().needs_blocks ? 1 : 2;  // VGG-16 has no blocks
    EXPECT_EQ(runs[method.name], networks * 3) << method.name;
  }
}

TEST(Plans, TakeTheSecondDataSetThatIsThere) {
  const TemporaryFolder folder;
  const auto put = [&](const std::string& name) {
    for (const data::DatasetInfo& info : data::known_datasets()) {
      if (info.name == name) write_file(folder / info.folder / info.first_file, "");
    }
  };
  const auto second = [&](const char* name, Preset preset) {
    return scale_of(experiment(name), preset, folder.path()).other_data;
  };
  EXPECT_EQ(second("data-free-data-driven", Preset::Quick), "synth");
  put("cifar100");
  EXPECT_EQ(second("data-free-data-driven", Preset::Quick), "cifar100");
  // Masks of a network with a hundred classes don't fit one with ten.
  EXPECT_EQ(second("original-transfer", Preset::Paper), "synth");
  put("svhn");
  EXPECT_EQ(second("data-free-data-driven", Preset::Paper), "svhn");
  EXPECT_EQ(second("original-transfer", Preset::Paper), "svhn");
  EXPECT_EQ(second("layer-density", Preset::Smoke), "synth#1");
}

}  // namespace
}  // namespace espalier::experiments::comparisons
