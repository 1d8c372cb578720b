// SPDX-License-Identifier: Apache-2.0
// The comparisons: plans, statistics, the runner with runs that fail, and the smallest smoke run.
#include <cmath>
#include <fstream>
#include <set>

#include <espalier/core/safetensors.h>
#include <espalier/experiments/comparisons/findings.h>
#include <espalier/experiments/comparisons/page.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/options.h>
#include <espalier/prune/registry.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::expect_error;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

constexpr double kExact = 1e-12;

TEST(Statistics, OneToThreeByHand) {
  const Summary summary = summarize({1.0, 2.0, 3.0});
  EXPECT_EQ(summary.count, 3);
  EXPECT_NEAR(summary.mean, 2.0, kExact);
  EXPECT_NEAR(summary.deviation.value(), 1.0, kExact);
  EXPECT_NEAR(summary.standard_error.value(), 1.0 / std::sqrt(3.0), kExact);
  EXPECT_NEAR(summary.ratio().value(), 2.0 * std::sqrt(3.0), kExact);
}

TEST(Statistics, OneValueHasNoDeviationAndEqualValuesHaveNoDoubt) {
  EXPECT_FALSE(summarize({0.5}).deviation.has_value());
  EXPECT_FALSE(summarize({0.5}).ratio().has_value());
  EXPECT_TRUE(std::isinf(summarize({0.5, 0.5}).ratio().value()));
  EXPECT_EQ(summarize({0.0, 0.0}).ratio().value(), 0.0);
  expect_error<ValueError>([] { summarize({}); }, {"summarize"});
}

TEST(Statistics, RankCorrelationByHand) {
  EXPECT_NEAR(rank_correlation({1, 2, 3}, {30, 20, 10}), -1.0, kExact);
  // Ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3: 4.5 / sqrt(4.5 * 5).
  EXPECT_NEAR(rank_correlation({1, 2, 2, 3}, {1, 2, 3, 4}), 4.5 / std::sqrt(22.5), kExact);
  EXPECT_EQ(rank_correlation({1, 1, 1}, {1, 2, 3}), 0.0);
  expect_error<ValueError>([] { rank_correlation({1}, {1}); }, {"rank_correlation"});
}

RunRow row(const std::string& method, const std::string& variant, int64_t seed, double accuracy) {
  RunRow out;
  out.model = "net";
  out.data = "data";
  out.method = method;
  out.variant = variant;
  out.sparsity_asked = 0.9;
  out.seed = seed;
  out.accuracy = accuracy;
  return out;
}

const Claim kClaim = {.sentence = "a is higher than b",
                      .column = "variant",
                      .higher = {"a"},
                      .lower = {"b"},
                      .within = {"method", "sparsity"}};

TEST(Findings, DifferencesArePairedBySeed) {
  // Differences 0.01, 0.02, 0.03: mean 0.02 at a standard error of 0.01 / sqrt(3).
  const std::vector<RunRow> rows = {row("m", "a", 1, 0.50),
                                    row("m", "b", 1, 0.49),
                                    row("m", "a", 2, 0.92),
                                    row("m", "b", 2, 0.90),
                                    row("m", "b", 3, 0.10),
                                    row("m", "a", 3, 0.13)};
  const Finding finding = judge(kClaim, rows);
  ASSERT_EQ(finding.groups.size(), 1u);
  EXPECT_EQ(finding.groups[0].group, "m 0.9");
  EXPECT_NEAR(finding.overall.mean, 0.02, kExact);
  EXPECT_NEAR(finding.overall.standard_error.value(), 0.01 / std::sqrt(3.0), kExact);
  EXPECT_EQ(finding.verdict, Verdict::Agrees);
  EXPECT_EQ(finding.text(), "agrees (3.5 standard errors, 3 seeds)");
  Claim opposite = kClaim;
  std::swap(opposite.higher, opposite.lower);
  EXPECT_EQ(judge(opposite, rows).verdict, Verdict::Disagrees);
}

TEST(Findings, SmallDifferencesAndSingleSeedsAreNotSure) {
  const Finding noisy = judge(
      kClaim,
      {row("m", "a", 1, 0.5), row("m", "b", 1, 0.6), row("m", "a", 2, 0.7), row("m", "b", 2, 0.5)});
  EXPECT_EQ(noisy.verdict, Verdict::Agrees);
  EXPECT_NE(noisy.text().find("not sure"), std::string::npos) << noisy.text();
  const Finding single = judge(kClaim, {row("m", "a", 1, 0.9), row("m", "b", 1, 0.1)});
  EXPECT_NE(single.text().find("not sure"), std::string::npos) << single.text();
}

TEST(Findings, OverallTakesOnlySeedsThatEveryGroupHas) {
  const Finding finding = judge(kClaim,
                                {row("m", "a", 1, 0.6),
                                 row("m", "b", 1, 0.5),
                                 row("m", "a", 2, 0.9),
                                 row("m", "b", 2, 0.1),
                                 row("n", "a", 1, 0.8),
                                 row("n", "b", 1, 0.5)});
  ASSERT_EQ(finding.groups.size(), 2u);
  EXPECT_EQ(finding.overall.count, 1);
  EXPECT_NEAR(finding.overall.mean, 0.2, kExact);
}

TEST(Findings, FailedRunsAndRunsForOthersDoNotCount) {
  std::vector<RunRow> rows = {row("m", "a", 1, 0.9), row("m", "b", 1, 0.1)};
  rows[0].error = "diverged";
  EXPECT_EQ(judge(kClaim, rows).verdict, Verdict::NoData);
  rows[0].error.clear();
  rows[1].compared = false;
  EXPECT_EQ(judge(kClaim, rows).verdict, Verdict::NoData);
}

TEST(Findings, NotAlwaysHigherIsDecidedByTheLowestGroup) {
  Claim claim = kClaim;
  claim.kind = Claim::Kind::NotAlwaysHigher;
  std::vector<RunRow> rows = {
      row("m", "a", 1, 0.9), row("m", "b", 1, 0.1), row("n", "a", 1, 0.4), row("n", "b", 1, 0.5)};
  const Finding agrees = judge(claim, rows);
  EXPECT_EQ(agrees.verdict, Verdict::Agrees);
  EXPECT_NEAR(agrees.decisive.mean, -0.1, kExact);
  rows[2].accuracy = 0.6;
  EXPECT_EQ(judge(claim, rows).verdict, Verdict::Disagrees);
}

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
      Plan plan(scale_of(preset));
      one.plan(plan);
      std::vector<RunRow> rows;
      for (const PlannedRun& run : plan.runs()) {
        SCOPED_TRACE(run.title());
        const prune::OptionValues values("train", train_options(), run.settings);
        if (const std::string& method = values.text("prune"); !method.empty()) {
          const auto settings = prune::parse_settings(prune::method(method), run.pruning);
          EXPECT_EQ(settings.sparsity.value(), run.sparsity);
          EXPECT_NO_THROW(
              prune::OptionValues(method, prune::method(method).options, settings.options));
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

// A method that is registered is in the table, without a line being written for it.
TEST(Plans, OfMethodsHaveEveryRegisteredMethodForEveryNetworkAndSeed) {
  const Experiment& table = experiment("methods");
  Plan plan(scale_of(table, Preset::Quick));
  table.plan(plan);
  std::map<std::string, int64_t> runs;
  for (const PlannedRun& run : plan.runs()) {
    ++runs[run.method];
    EXPECT_EQ(run.settings.at("epochs"), "10");
    EXPECT_EQ(run.settings.at("train-size"), "10000");
    EXPECT_EQ(run.settings.at("width"), "0.25");
  }
  EXPECT_EQ(runs.size(), prune::methods().size() + 1);
  for (const auto& [method, count] : runs) EXPECT_EQ(count, 2 * 3) << method;
}

TEST(ExperimentVerb, ListHasAllTenAndSaysWhatIsMissing) {
  const auto json = espalier_command({"experiment", "list", "--json"}).json();
  ASSERT_EQ(json.size(), 10u);
  std::set<std::string> names;
  for (const auto& one : json) {
    names.insert(one.at("name").get<std::string>());
    EXPECT_FALSE(one.at("title").get<std::string>().empty());
    EXPECT_EQ(one.at("presets").empty(), one.contains("unavailable")) << one;
  }
  EXPECT_EQ(names.size(), 10u);
  const std::string table = espalier_command({"experiment", "list"}).out;
  for (const std::string& name : names) EXPECT_NE(table.find(name), std::string::npos);
}

TEST(ExperimentVerb, BadUseExitsWithTwoBeforeAnyRun) {
  const TemporaryFolder folder;
  const std::string out = (folder / "runs").string();
  const auto run = [&](const std::vector<std::string>& more, const char* message) {
    std::vector<std::string> arguments = {"experiment", "run", "--out", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitBadUse) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(out));
  };
  run({"chainsaw"}, "one-shot-iterative");
  run({"layer-density", "--preset", "huge"}, "smoke, quick or paper");
  run({"layer-density", "--preset", "quick", "--data-root", "/nowhere"}, "/nowhere");
}

std::vector<std::string> smoke(const std::string& name, const std::filesystem::path& out) {
  return {"experiment", "run", name, "--preset", "smoke", "--threads", "1", "--out", out.string()};
}

int64_t count(const std::string& text, const std::string& part) {
  int64_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// A whole experiment: what it leaves, that it is not made twice, and that a broken run is named
// while the others stand.
TEST(ExperimentVerb, SmokeRunEndsGoesOnAndNamesFailures) {
  const TemporaryFolder folder;
  const auto results = folder / "experiments/unstructured-structured-smoke";
  const Outcome first = espalier_command(smoke("unstructured-structured", folder.path()));
  ASSERT_EQ(first.code, kExitOk) << first.err;
  const std::string csv = slurp(results / "runs.csv");
  EXPECT_EQ(count(csv, "\n"), 1 + 5) << csv;  // dense, and two methods twice
  EXPECT_EQ(count(first.err, "  trained: "), 5) << first.err;
  // Both patterns are compared at the same share of removed weights.
  std::istringstream table(csv);
  for (std::string line; std::getline(table, line);) {
    std::vector<std::string> fields;
    std::istringstream in(line);
    for (std::string one; std::getline(in, one, ',');) fields.push_back(one);
    ASSERT_GT(fields.size(), 7u) << line;
    if (fields[3].ends_with("structured")) {
      EXPECT_NEAR(std::stod(fields[6]), std::stod(fields[4]), 0.01) << line;
    }
  }
  const std::string page = slurp(results / "README.md");
  EXPECT_NE(page.find("single seed"), std::string::npos) << page;
  EXPECT_NE(page.find("structured"), std::string::npos);
  EXPECT_GT(count(slurp(results / "layers.csv"), "\n"), 5 * 10);

  // Killed before one run was finished: only that one is made again, to the same bytes.
  std::istringstream lines(csv);
  std::string last;
  for (std::string line; std::getline(lines, line);) last = line;
  const std::string run = last.substr(last.find(folder.path().string()));
  const std::filesystem::path broken = run.substr(0, run.find(','));
  const std::string model = slurp(broken / "model.safetensors");
  ASSERT_FALSE(model.empty()) << last;
  std::filesystem::remove_all(broken);
  const Outcome second = espalier_command(smoke("unstructured-structured", folder.path()));
  ASSERT_EQ(second.code, kExitOk) << second.err;
  EXPECT_EQ(count(second.err, "  was finished: "), 4) << second.err;
  EXPECT_EQ(count(second.err, "  trained: "), 1) << second.err;
  EXPECT_EQ(slurp(broken / "model.safetensors"), model);

  std::ofstream(broken / "run.json", std::ios::trunc) << "{";
  const Outcome third = espalier_command(smoke("unstructured-structured", folder.path()));
  EXPECT_EQ(third.code, kExitFailed);
  EXPECT_NE(third.err.find("1 of 5 runs failed"), std::string::npos) << third.err;
  EXPECT_EQ(count(third.err, "  was finished: "), 4) << third.err;
  EXPECT_NE(slurp(results / "README.md").find("not valid JSON"), std::string::npos);
  EXPECT_EQ(count(slurp(results / "runs.csv"), "\n"), 1 + 5);
}

// Rows of a CSV by the names in its head.
std::vector<std::map<std::string, std::string>> rows_of(const std::string& csv) {
  std::istringstream lines(csv);
  std::vector<std::string> head;
  std::vector<std::map<std::string, std::string>> rows;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in(line + ",");
    std::vector<std::string> fields;
    for (std::string one; std::getline(in, one, ',');) fields.push_back(one);
    if (head.empty()) {
      head = fields;
      continue;
    }
    auto& row = rows.emplace_back();
    for (size_t i = 0; i < head.size(); ++i) row[head[i]] = i < fields.size() ? fields[i] : "";
  }
  return rows;
}

TEST(ExperimentVerb, TheTableOfPatternsHasEqualSparsityAndTimes) {
  const TemporaryFolder folder;
  std::vector<std::string> command = smoke("patterns", folder / "runs");
  command.insert(command.end(), {"--page", (folder / "patterns.md").string()});
  const Outcome outcome = espalier_command(command);
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  const auto rows = rows_of(slurp(folder / "patterns.csv"));
  ASSERT_EQ(rows.size(), 2u * (1 + 6));
  for (const auto& row : rows) {
    SCOPED_TRACE(row.at("model") + " " + row.at("variant"));
    EXPECT_GT(std::stod(row.at("speed_images_per_second")), 0.0);
    EXPECT_GT(std::stod(row.at("speed_one_image_ms_dense")), 0.0);
    if (row.at("method") == "dense") continue;
    const double sparsity = std::stod(row.at("sparsity"));
    if (row.at("variant") == "channel") {
      EXPECT_GE(sparsity, 0.499);  // the last channel may take more than was left to take
      EXPECT_LE(sparsity, 0.65);
      // Channels are cut out: the kernels do nothing for what is gone.
      EXPECT_LT(std::stod(row.at("speed_macs_executed")), 0.9 * std::stod(row.at("macs_dense")));
    } else if (row.at("variant").starts_with("2:4")) {
      EXPECT_LE(sparsity, 0.501);  // layers of 2 and 3 input channels stay dense
      EXPECT_GE(sparsity, 0.4);
    } else {
      EXPECT_NEAR(sparsity, 0.5, 0.005);
    }
  }
  const std::string page = slurp(folder / "patterns.md");
  EXPECT_EQ(page, slurp(folder / "runs/experiments/patterns-smoke/README.md"));
  EXPECT_NE(page.find("## Speed of what came out"), std::string::npos);
  EXPECT_EQ(count(page, "| 2:4g4 |"), 2 * 2) << page;  // two networks, two tables
}

TEST(ExperimentVerb, TheTableOfMethodsRunsThemAll) {
  const TemporaryFolder folder;
  const Outcome outcome = espalier_command(smoke("methods", folder.path()));
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  const std::string page = slurp(folder / "experiments/methods-smoke/README.md");
  EXPECT_NE(page.find("## Beside the papers"), std::string::npos);
  for (const prune::Method& method : prune::methods()) {
    EXPECT_GE(count(page, "| " + method.name + " |"), 2) << method.name;
  }
  // What was timed once is not timed again.
  const auto before = rows_of(slurp(folder / "experiments/methods-smoke/runs.csv"));
  ASSERT_EQ(espalier_command(smoke("methods", folder.path())).code, kExitOk);
  const auto after = rows_of(slurp(folder / "experiments/methods-smoke/runs.csv"));
  EXPECT_EQ(before, after);
}

TEST(Runner, ARunThatFailsStopsOnlyThoseThatNeedIt) {
  const TemporaryFolder folder;
  Scale scale = scale_of(Preset::Smoke);
  Plan plan(scale);
  PlannedRun diverging = plan.run({"resnet20", "synth", 1});
  diverging.settings["lr"] = "1000";
  diverging.settings["schedule"] = "constant";
  diverging.settings["epochs"] = "9";
  PlannedRun dependent = plan.pruned({"resnet20", "synth", 1}, "magnitude", 0.5);
  dependent.weights_of = plan.add(diverging);
  plan.add(dependent);
  plan.add(plan.pruned({"resnet20", "synth", 1}, "random", 0.5));
  std::ostringstream out;
  std::ostringstream err;
  Console console{.out = out, .err = err};
  const auto rows =
      run_plan(plan, {.folder = folder.path(), .settings = {{"threads", "1"}}}, console);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_NE(rows[0].error.find("loss"), std::string::npos) << rows[0].error;
  EXPECT_NE(rows[1].error.find("needs the run"), std::string::npos) << rows[1].error;
  ASSERT_TRUE(rows[2].finished()) << rows[2].error;
  EXPECT_NEAR(rows[2].sparsity, 0.5, 0.01);
  EXPECT_GT(rows[2].seconds_per_epoch, 0.0);
  EXPECT_EQ(rows[2].collapsed(), 0);
  EXPECT_NE(err.str().find("failed: "), std::string::npos);
}

// The masks of a model file by name.
std::map<std::string, std::vector<uint8_t>> masks_of(const std::filesystem::path& file) {
  std::map<std::string, std::vector<uint8_t>> out;
  for (const auto& [name, tensor] : load_safetensors(file).tensors) {
    if (name.ends_with(".mask")) out[name] = tensor.to_vector<uint8_t>();
  }
  return out;
}

TEST(MaskFrom, TrainsFreshWeightsUnderTheMasksOfAnotherRun) {
  const TemporaryFolder folder;
  const auto train = [&](const char* name, const std::vector<std::string>& more) {
    const Outcome outcome = espalier_command(tiny_training(folder / name, more));
    EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
    return folder / name / "model.safetensors";
  };
  const auto pruned = train("pruned", {"--prune", "magnitude", "--sparsity", "0.8"});
  const auto start = train("start", {"--epochs", "0"});
  const auto masked = train("masked", {"--epochs", "0", "--mask-from", pruned.string()});
  const auto trained = train("trained", {"--data-seed", "5", "--mask-from", pruned.string()});
  const auto masks = masks_of(pruned);
  ASSERT_FALSE(masks.empty());
  EXPECT_EQ(masks_of(masked), masks);
  EXPECT_EQ(masks_of(trained), masks);
  const auto initial = load_safetensors(start).tensors;
  const auto kept = load_safetensors(masked).tensors;
  for (const auto& [name, mask] : masks) {
    const std::string owner = name.substr(0, name.size() - 5);
    const auto before = initial.at(owner).to_vector<float>();
    const auto after = kept.at(owner).to_vector<float>();
    for (size_t i = 0; i < mask.size(); ++i) {
      ASSERT_EQ(after[i], mask[i] != 0 ? before[i] : 0.0f) << name << " " << i;
    }
  }
}

TEST(MaskFrom, RefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  const auto train = [&](const char* name, const std::vector<std::string>& more) {
    return espalier_command(tiny_training(folder / name, more));
  };
  ASSERT_EQ(train("dense", {"--epochs", "0"}).code, kExitOk);
  ASSERT_EQ(train("pruned", {"--epochs", "0", "--prune", "random"}).code, kExitOk);
  const std::string dense = (folder / "dense/model.safetensors").string();
  const std::string pruned = (folder / "pruned/model.safetensors").string();
  const std::pair<std::vector<std::string>, const char*> table[] = {
      {{"--mask-from", dense}, "holds no masks"},
      {{"--mask-from", pruned, "--width", "0.5"}, "another width"},
      {{"--mask-from", pruned, "--model", "vgg11"}, "another model"},
      {{"--mask-from", pruned, "--prune", "magnitude"}, "choose one"},
      {{"--mask-from", (folder / "nothing").string()}, "nothing"}};
  for (const auto& [more, message] : table) {
    const Outcome outcome = train("refused", more);
    EXPECT_EQ(outcome.code, kExitBadUse) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(folder / "refused"));
  }
}

TEST(ScoringInput, NoiseMakesSnipBlindToTheData) {
  const TemporaryFolder folder;
  const auto masks = [&](const std::string& input, const std::string& data_seed) {
    const std::string name = input + data_seed;
    const Outcome outcome = espalier_command(tiny_training(
        folder / name,
        {"--epochs", "0", "--prune", "snip", "--data-seed", data_seed, "--scoring-input", input}));
    EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
    return masks_of(folder / name / "model.safetensors");
  };
  const auto noise = masks("noise", "0");
  ASSERT_FALSE(noise.empty());
  EXPECT_EQ(masks("noise", "1"), noise);
  const auto data = masks("data", "0");
  EXPECT_NE(data, noise);
  EXPECT_NE(masks("data", "1"), data);
}

}  // namespace
}  // namespace espalier::experiments
