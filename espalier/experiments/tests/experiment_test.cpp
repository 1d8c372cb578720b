// SPDX-License-Identifier: Apache-2.0
// The comparisons: the verb with its smallest runs, and the runner with runs that fail.
#include <algorithm>
#include <atomic>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include <espalier/experiments/comparisons/findings.h>
#include <espalier/experiments/comparisons/page.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/run/run_folder.h>
#include <espalier/prune/drive/registry.h>

#include "command_line.h"
#include "run_rows.h"

namespace espalier::experiments::comparisons {
namespace {

namespace fs = std::filesystem;

using espalier::testing::expect_error;
using espalier::testing::row;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

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
  run({"layer-density", "--preset", "quick", "--seed", "9"}, "(1, 2, 3), got 9");
  run({"layer-density", "--preset", "smoke", "--seed", "1", "--page", "a.md"}, "--page");
  run({"layer-density", "--preset", "smoke", "--page", "a.csv"}, "expects a Markdown file");
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
  // A share of the work is done already, and makes no tables.
  std::filesystem::remove(results / "README.md");
  std::vector<std::string> share = smoke("unstructured-structured", folder.path());
  share.insert(share.end(), {"--seed", "1"});
  const Outcome shared = espalier_command(share);
  EXPECT_EQ(shared.code, kExitOk) << shared.err;
  EXPECT_NE(shared.out.find("runs are there"), std::string::npos) << shared.out;
  EXPECT_EQ(count(shared.err, "was finished"), count(shared.err, "] "));
  EXPECT_FALSE(std::filesystem::exists(results / "README.md"));
  ASSERT_EQ(espalier_command(smoke("unstructured-structured", folder.path())).code, kExitOk);
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
  // Seconds of training on made-up digits speak neither for a sentence nor against it.
  EXPECT_NE(page.find("**Here: too short to tell.**"), std::string::npos) << page;
  for (const std::string& text : {page, first.out}) {
    EXPECT_NE(text.find("too short to tell"), std::string::npos) << text;
    EXPECT_EQ(text.find("agrees"), std::string::npos) << text;
  }
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

// The others have tests of their own here and in static_dynamic_test.cpp.
TEST(ExperimentVerb, EveryOtherSmokeRunEndsWithoutFailures) {
  const TemporaryFolder folder;
  const std::set<std::string> elsewhere = {
      "unstructured-structured", "static-dynamic", "methods", "patterns"};
  for (const Experiment& one : experiments()) {
    if (elsewhere.contains(one.name)) continue;
    SCOPED_TRACE(one.name);
    const Outcome outcome = espalier_command(smoke(one.name, folder.path()));
    ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
    const fs::path results = folder / "experiments" / (one.name + "-smoke");
    Plan plan(scale_of(one, Preset::Smoke, folder.path()));
    one.plan(plan);
    const auto rows = rows_of(slurp(results / "runs.csv"));
    ASSERT_EQ(rows.size(), plan.runs().size());
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i].at("method"), plan.runs()[i].method);
      const double asked = plan.runs()[i].sparsity;
      EXPECT_NEAR(std::stod(rows[i].at("sparsity")), asked, 0.02) << plan.runs()[i].title();
    }
    const std::string page = slurp(results / "README.md");
    EXPECT_EQ(count(page, "**Here: no data"), 0) << page;
    EXPECT_GE(count(page, "**Here: "), std::max<int64_t>(1, std::ssize(one.claims))) << page;
    EXPECT_EQ(count(page, "agrees"), 0) << page;
  }
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

TEST(Runner, AnotherProcessAtWorkIsWaitedForWhereThatIsAsked) {
  const TemporaryFolder folder;
  const nlohmann::ordered_json settings = {{"model", "lenet5"}};
  auto first = std::make_unique<RunFolder>(folder / "run", settings, settings);
  expect_error<ValueError>([&] { RunFolder(folder / "run", settings, settings); },
                           {"another process"});
  std::promise<void> told;
  std::atomic<bool> released = false;
  std::thread second([&] {
    RunFolder(folder / "run", settings, settings, [&] { told.set_value(); });
    EXPECT_TRUE(released) << "did not wait";
  });
  told.get_future().wait();
  released = true;
  first.reset();
  second.join();
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

}  // namespace
}  // namespace espalier::experiments::comparisons
