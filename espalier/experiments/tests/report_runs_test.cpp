// SPDX-License-Identifier: Apache-2.0
// Which runs a report takes for the same, and what it makes of runs that are broken or not done.
#include <cmath>
#include <limits>

#include <espalier/core/detail/printable.h>
#include <espalier/core/safetensors.h>
#include <espalier/experiments/csv.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/report/report.h>
#include <espalier/experiments/run/run_folder.h>

#include "command_line.h"
#include "made_up_runs.h"

namespace espalier::experiments::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using espalier::testing::expect_error;
using espalier::testing::TemporaryFolder;
using espalier::testing::write_run;

std::vector<std::string> labels(const Report& report) {
  std::vector<std::string> out;
  for (const Panel& panel : report.panels()) {
    for (const RunGroup& group : panel.groups) {
      out.push_back(group.label() + " x " + std::to_string(group.runs.size()));
    }
  }
  return out;
}

TEST(ReportRuns, DenseComesFirstWhateverTheOrderOfTheFolders) {
  const TemporaryFolder folder;
  write_run(folder / "a", {{"seed", 1}, {"prune", "snip"}, {"sparsity", 0.9}}, 0.5, 0.9);
  write_run(folder / "b", {{"seed", 1}, {"prune", "snip"}, {"sparsity", 0.5}}, 0.6, 0.5);
  write_run(folder / "c", {{"seed", 1}}, 0.7);
  const Report report(read_runs({folder.path()}));
  EXPECT_EQ(labels(report),
            (std::vector<std::string>{"dense x 1", "snip 0.5 x 1", "snip 0.9 x 1"}));
  EXPECT_EQ(report.panels().at(0).series(), (std::vector<std::string>{"dense", "snip"}));
  EXPECT_EQ(report.style("dense"), 0U);
  EXPECT_EQ(report.style("snip"), 1U);
}

// Masks of two methods, two seeds each: not four seeds of one thing.
TEST(ReportRuns, MasksAreToldApartByTheRunThatFoundThem) {
  const TemporaryFolder folder;
  for (const int seed : {1, 2}) {
    const std::string end = std::to_string(seed);
    for (const char* method : {"snip", "magnitude"}) {
      const std::string finder = std::string("find-") + method + end;
      write_run(folder / finder, {{"seed", seed}, {"prune", method}, {"sparsity", 0.5}}, 0.1, 0.5);
      // Where the files were when the run was made; they were moved since.
      write_run(folder / (std::string("under-") + method + end),
                {{"seed", seed}, {"mask-from", "elsewhere/" + finder + "/model.safetensors"}},
                0.8,
                0.5);
    }
  }
  const Report report(read_runs({folder.path()}));
  EXPECT_EQ(labels(report),
            (std::vector<std::string>{"magnitude 0.5 x 2",
                                      "snip 0.5 x 2",
                                      "mask-from magnitude 0.5 0.5 x 2",
                                      "mask-from snip 0.5 0.5 x 2"}));
}

TEST(ReportRuns, TwoRunsOfOneSeedAreNoTwoSeeds) {
  const TemporaryFolder folder;
  write_run(folder / "a", {{"seed", 1}}, 0.5);
  write_run(folder / "b", {{"seed", 1}}, 0.9);
  EXPECT_EQ(labels(Report(read_runs({folder.path()}))),
            (std::vector<std::string>{"dense x 1", "dense (2) x 1"}));
  // And one that is named twice is one.
  EXPECT_EQ(read_runs({folder / "a", folder / "b/../a", folder.path()}).size(), 2U);
}

TEST(ReportRuns, MeansAreOfFinishedRuns) {
  const TemporaryFolder folder;
  write_run(folder / "a", {{"seed", 1}}, 0.5);
  write_run(folder / "b", {{"seed", 2}}, 0.7);
  write_run(folder / "c", {{"seed", 3}}, 0.1, 0.0, "running");
  const Report report(read_runs({folder.path()}));
  const RunGroup& group = report.panels().at(0).groups.at(0);
  EXPECT_EQ(group.runs.size(), 3U);
  EXPECT_EQ(group.finished(), 2U);
  EXPECT_NEAR(group.summary("accuracy").value().mean, 0.6, 1e-12);
  EXPECT_EQ(parse_csv(report.means_csv(), "means").at(1).at(5), "2");
  EXPECT_NE(report.cost_charts().at(0).svg.find("over 2 seeds"), std::string::npos);
}

TEST(ReportRuns, AccuracyIsComparedWithTheDenseRunWhereverItStands) {
  const TemporaryFolder folder;
  write_run(folder / "a", {{"seed", 1}, {"prune", "snip"}, {"sparsity", 0.5}}, 0.5, 0.5);
  write_run(folder / "b", {{"seed", 1}}, 0.7);
  const auto rows = Report(read_runs({folder.path()})).rows();
  const auto column = static_cast<size_t>(std::find(rows[0].begin(), rows[0].end(), "difference") -
                                          rows[0].begin());
  ASSERT_LT(column, rows[0].size());
  EXPECT_EQ(rows[1].at(column), "-20.00");
  EXPECT_EQ(rows[2].at(column), "-");
}

TEST(ReportRuns, RatesOfDifferentMomentsAreNoSpeedUp) {
  const TemporaryFolder folder;
  write_run(folder / "a", {{"seed", 1}}, 0.7);
  write_run(folder / "b", {{"seed", 1}, {"prune", "snip"}, {"sparsity", 0.5}}, 0.5, 0.5);
  const Report report(read_runs({folder.path()}));
  EXPECT_FALSE(std::ranges::count(report.rows().at(0), "speed-up"));
  EXPECT_EQ(report.text().find("speed-up"), std::string::npos);
  for (const NamedChart& chart : report.cost_charts()) {
    EXPECT_FALSE(chart.name.starts_with("accuracy-speed")) << chart.name;
  }
}

TEST(ReportRuns, TheFirstLinesSayWhatWasFound) {
  const TemporaryFolder folder;
  const auto first_line = [&] {
    const std::string text = Report(read_runs({folder.path()})).text();
    return text.substr(0, text.find('\n'));
  };
  write_run(folder / "a", {{"seed", 1}}, 0.7, 0.0, "running");
  EXPECT_EQ(first_line(), "resnet20 on synth: no run is finished yet.");
  write_run(folder / "a", {{"seed", 1}}, 0.7);
  EXPECT_EQ(first_line(),
            "resnet20 on synth: the dense network reaches 70.00 % (one seed, so what chance does "
            "is not known); no pruned run is finished.");
  write_run(folder / "b", {{"seed", 1}, {"prune", "snip"}, {"sparsity", 0.5}}, 0.9, 0.5);
  write_run(folder / "c", {{"seed", 1}, {"prune", "snip"}, {"sparsity", 0.9}}, 0.5, 0.9);
  write_run(folder / "d", {{"seed", 1}, {"prune", "gmp"}, {"sparsity", 0.9}}, 0.65, 0.9);
  EXPECT_EQ(
      first_line(),
      "resnet20 on synth: with 90.0 % of the weights removed, gmp 0.9 reaches 65.00 %, 5.00 "
      "points below the dense network's 70.00 %, the best of 2 at this sparsity (one seed, so "
      "what chance does is not known).");
  write_run(folder / "e", {{"seed", 2}}, 0.6);
  write_run(folder / "f", {{"seed", 2}, {"prune", "gmp"}, {"sparsity", 0.9}}, 0.75, 0.9);
  EXPECT_NE(
      first_line().find("gmp 0.9 reaches 70.00 %, 5.00 points above the dense network's 65.00 %"),
      std::string::npos)
      << first_line();
  EXPECT_NE(first_line().find("(means of 2 seeds)"), std::string::npos) << first_line();
  const std::string page = html_page(Report(read_runs({folder.path()})));
  EXPECT_LT(page.find("gmp 0.9 reaches 70.00 %"), page.find("<nav")) << "before all else";
}

TEST(ReportRuns, AnAxisOfAccuraciesHasRoomAndSaysWhereItBegins) {
  const TemporaryFolder folder;
  write_run(folder / "a", {{"seed", 1}}, 0.951);
  write_run(folder / "b", {{"seed", 1}, {"prune", "snip"}, {"sparsity", 0.5}}, 0.950, 0.5);
  const std::string near = Report(read_runs({folder.path()})).cost_charts().at(0).svg;
  // A tenth of a point is no cliff: the axis covers ten points, and says that it is cut.
  EXPECT_NE(near.find("test accuracy, % (axis from 90)"), std::string::npos) << near;
  EXPECT_NE(near.find(">100</text>"), std::string::npos) << near;
  write_run(folder / "b", {{"seed", 1}, {"prune", "snip"}, {"sparsity", 0.5}}, 0.3, 0.5);
  const std::string far = Report(read_runs({folder.path()})).cost_charts().at(0).svg;
  EXPECT_EQ(far.find("axis from"), std::string::npos) << far;
  EXPECT_NE(far.find(">0</text>"), std::string::npos) << far;
}

TEST(ReportRuns, TimesTakenInTurnAreUsedWhereThereAreAny) {
  const TemporaryFolder folder;
  write_file(folder / "a/runs.csv",
             "model,data,method,variant,sparsity_asked,seed,accuracy,speed_images_per_second,"
             "speed_images_per_second_dense,speed_macs_executed,run,error\n"
             "vgg16,cifar10,dense,,0,1,0.7,50,40,100,,\n"
             "vgg16,cifar10,snip,,0.9,1,0.6,60,20,30,,\n");
  const auto rows = Report(read_runs({folder / "a"})).rows();
  const auto column =
      static_cast<size_t>(std::find(rows[0].begin(), rows[0].end(), "speed-up") - rows[0].begin());
  EXPECT_EQ(rows.at(1).at(column), "1.25");
  EXPECT_EQ(rows.at(2).at(column), "3.00");
  const Report report(read_runs({folder / "a"}));
  EXPECT_NE(report.text().find("and runs 3.00 times as fast, timed in turn"), std::string::npos)
      << report.text();
  EXPECT_TRUE(report.cost_charts().at(1).name.starts_with("accuracy-speed"));
}

TEST(ReportRuns, OneThatIsBrokenIsNamedAmongOthersAndAnErrorAlone) {
  const TemporaryFolder folder;
  write_run(folder / "good", {{"seed", 1}}, 0.5);
  write_file(folder / "broken/run.json", "{");
  const std::vector<ReportRun> runs = read_runs({folder.path()});
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].name, "broken");
  EXPECT_NE(runs[0].error.find("not valid JSON"), std::string::npos) << runs[0].error;
  EXPECT_TRUE(runs[1].error.empty());
  EXPECT_NE(html_page(Report(runs)).find("Runs that failed"), std::string::npos);
  EXPECT_TRUE(runs[0].unreadable);
  expect_error<IoError>([&] { read_runs({folder / "broken"}); }, {"not valid JSON"});
}

TEST(ReadRuns, BrokenOnesAreToldWithFileAndReason) {
  const TemporaryFolder folder;
  write_file(folder / "broken/run.json", "[[");
  // Where there is nothing else there is nothing to report.
  const Outcome alone = espalier_command({"report", folder.path().string()});
  EXPECT_EQ(alone.code, kExitBadUse) << alone.out;
  EXPECT_NE(alone.err.find("broken/run.json is not valid JSON"), std::string::npos) << alone.err;
  write_run(folder / "whole", {{"seed", 1}}, 0.9);
  const Outcome both = espalier_command({"report", folder.path().string()});
  EXPECT_EQ(both.code, kExitOk) << both.err;
  EXPECT_NE(both.out.find("broken (can't be read): run: "), std::string::npos) << both.out;
  EXPECT_NE(both.out.find("broken/run.json is not valid JSON"), std::string::npos) << both.out;
  EXPECT_EQ(both.out.find("(failed)"), std::string::npos) << both.out;
}

// A network whose outputs overflow has a loss that JSON can't write.
TEST(ReportRuns, ALossThatIsNoNumberIsReadBack) {
  EpochMetrics line{.epoch = 1, .step = 10, .lr = 0.1};
  line.test_loss = std::numeric_limits<double>::quiet_NaN();
  line.test_accuracy = 0.25;
  const TemporaryFolder folder;
  write_run(folder / "run", {{"seed", 1}}, 0.1);
  write_file(folder / "run/metrics.jsonl", line.to_json().dump() + "\n");
  const RunRecord record = read_run(folder / "run");
  ASSERT_EQ(record.metrics.size(), 1U);
  EXPECT_TRUE(std::isnan(record.metrics[0].test_loss));
  EXPECT_EQ(record.metrics[0].test_accuracy, 0.25);
  const std::string page = html_page(Report(read_runs({folder / "run"})));
  EXPECT_EQ(page.find(">nan<"), std::string::npos);
  // Asked for again, the finished run has its results.
  const Json settings = {{"model", "lenet5"}};
  {
    RunFolder made(folder / "made", settings, settings);
    made.finish({{"loss", line.test_loss}, {"accuracy", 0.25}});
    save_safetensors(made.model_path(), {});
  }
  const RunFolder again(folder / "made", settings, settings);
  ASSERT_EQ(again.state(), RunFolder::State::Finished);
  EXPECT_TRUE(std::isnan(again.results().at("loss").get<double>()));
  EXPECT_EQ(again.results().at("accuracy"), 0.25);
  Json bad = line.to_json();
  bad["epoch"] = nullptr;
  expect_error<IoError>([&] { EpochMetrics::from_json(bad, "here"); }, {"here", "epoch"});
}

TEST(ReportRuns, FoldersWithAnyNameAreShown) {
  const TemporaryFolder folder;
  write_run(folder / "a\xff\x1b[31m\nb", {{"seed", 1}}, 0.1);
  const Report report(read_runs({folder.path()}));
  ASSERT_EQ(report.runs().size(), 1U);
  EXPECT_EQ(report.runs()[0].name, "a\\xff\\u001b[31m\\u000ab");
  for (const std::string& text : {html_page(report), report.csv(), report.text()}) {
    EXPECT_TRUE(espalier::detail::is_utf8(text));
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
  }
}

TEST(ReportRuns, ManyDenseRunsHaveTheirCurves) {
  const TemporaryFolder folder;
  EpochMetrics line{.epoch = 1, .step = 10, .lr = 0.1};
  line.test_accuracy = 0.25;
  for (int i = 0; i < 9; ++i) {
    const fs::path run = folder / ("run" + std::to_string(i));
    write_run(run, {{"seed", 1}, {"lr", 0.01 * (i + 1)}}, 0.1);
    write_file(run / "metrics.jsonl", line.to_json().dump() + "\n");
  }
  const Report report(read_runs({folder.path()}));
  std::string all;
  for (const NamedChart& chart : report.training_charts()) all += chart.svg;
  for (int i = 0; i < 9; ++i) {
    const std::string label = Json(0.01 * (i + 1)).dump();
    EXPECT_NE(all.find("lr " + label), std::string::npos) << label;
  }
}

}  // namespace
}  // namespace espalier::experiments::report
