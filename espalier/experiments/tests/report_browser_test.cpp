// SPDX-License-Identifier: Apache-2.0
// The page of a report in a real browser: it draws, sorts, saves, fits, and follows live runs.
#include <fcntl.h>
#include <fstream>

#include <algorithm>
#include <memory>
#include <thread>

#include <espalier/core/io.h>
#include <espalier/experiments/csv.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/report/server.h>

#include "browser.h"
#include "command_line.h"

using espalier::testing::TemporaryFolder;

namespace espalier::experiments::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kEnter = "\uE007";
constexpr const char* kSpace = "\uE00D";

// Two seeds dense and pruned, and their report; one browser for all tests.
class ReportPage : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!Browser::is_installed()) return;
    folder_ = std::make_unique<TemporaryFolder>();
    for (const std::string seed : {"1", "2"}) {
      train("dense" + seed, {"--seed", seed});
      train("pruned" + seed, {"--seed", seed, "--prune", "magnitude", "--sparsity", "0.7"});
    }
    const Outcome report = espalier_command(
        {"report", (*folder_ / "runs").string(), "--out", (*folder_ / "report.html").string()});
    ASSERT_EQ(report.code, kExitOk) << report.err;
    browser_ = std::make_unique<Browser>(folder_->path());
  }
  static void TearDownTestSuite() {
    browser_.reset();
    folder_.reset();
  }
  void SetUp() override {
    if (!Browser::is_installed()) {
      GTEST_SKIP() << "chromedriver is missing (Debian: apt-get install chromium-driver)";
    }
    ASSERT_NE(browser_, nullptr);
    browser_->open("file://" + (*folder_ / "report.html").string());
  }

  static void train(const std::string& name, const std::vector<std::string>& more) {
    const Outcome run = espalier_command(tiny_training(folder_->path() / "runs" / name, more));
    ASSERT_EQ(run.code, kExitOk) << run.err;
  }

  // The numbers of a column of the table of runs, from above.
  static std::vector<double> column(const std::string& heading) {
    const Json values = browser_->run(
        "const table = document.getElementById('runs-table');"
        "const at = [...table.tHead.rows[0].cells].findIndex(c => c.textContent === '" +
        heading +
        "');"
        "return [...table.tBodies[0].rows].map(row => Number(row.cells[at].dataset.key));");
    return values.get<std::vector<double>>();
  }
  static std::string state_of(int heading) {
    return browser_->run("return document.querySelector('#runs-table th:nth-child(" +
                         std::to_string(heading) + ")').getAttribute('aria-sort');");
  }
  // The n-th heading's button, counted from 1.
  static std::string button(int heading) {
    return "#runs-table th:nth-child(" + std::to_string(heading) + ") button";
  }

  static inline std::unique_ptr<TemporaryFolder> folder_;
  static inline std::unique_ptr<Browser> browser_;
};

constexpr int kSparsityColumn = 7;
constexpr int kAccuracyColumn = 8;

TEST_F(ReportPage, TellsTheConsoleNothingAndLoadsNothing) {
  const Json console = browser_->console();
  EXPECT_TRUE(console.empty()) << console.dump(2);
  const Json loaded = browser_->run(
      "return performance.getEntriesByType('resource').map(e => e.name)"
      ".filter(name => !name.startsWith('data:'));");
  EXPECT_TRUE(loaded.empty()) << loaded.dump();
}

TEST_F(ReportPage, DrawsEveryChartWithAxesAndSpread) {
  const Json charts = browser_->run(
      "return [...document.querySelectorAll('svg.chart')].map(svg => ({"
      "  title: svg.querySelector('title').textContent,"
      "  told: svg.querySelector('desc').textContent,"
      "  empty: svg.textContent.includes('no data'),"
      "  marks: svg.querySelectorAll('.mark').length,"
      "  ticks: svg.querySelectorAll('.axis, .grid').length}));");
  // Cost 2 (no speed: these runs were not timed in turns), training 5, density 1, times of 2
  // groups.
  ASSERT_EQ(charts.size(), 10U);
  for (const Json& chart : charts) {
    EXPECT_FALSE(chart.at("empty").get<bool>()) << chart.dump();
    EXPECT_GT(chart.at("marks").get<int>(), 0) << chart.dump();
    EXPECT_GT(chart.at("ticks").get<int>(), 3) << chart.dump();
    EXPECT_NE(chart.at("told").get<std::string>(), "") << chart.dump();
  }
  EXPECT_GT(browser_->run("return document.querySelectorAll('.band, .error').length;").get<int>(),
            4);
  const Json pictures = browser_->run(
      "const all = [...document.querySelectorAll('.pictures img')];"
      "return [all.length, all.filter(one => one.naturalWidth === 0 || !one.alt).length];");
  EXPECT_GT(pictures[0].get<int>(), 20);
  EXPECT_EQ(pictures[1], 0) << "pictures that are broken or have no text";
}

TEST_F(ReportPage, SortsByClickBothWays) {
  browser_->click(button(kAccuracyColumn));
  std::vector<double> values = column("accuracy");
  ASSERT_EQ(values.size(), 4U);
  EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
  EXPECT_EQ(state_of(kAccuracyColumn), "ascending");
  browser_->click(button(kAccuracyColumn));
  values = column("accuracy");
  EXPECT_TRUE(std::is_sorted(values.rbegin(), values.rend()));
  EXPECT_EQ(state_of(kAccuracyColumn), "descending");
  EXPECT_EQ(state_of(kSparsityColumn), "none");
}

TEST_F(ReportPage, SortsByKeyboard) {
  browser_->type(button(kSparsityColumn), kEnter);
  EXPECT_EQ(state_of(kSparsityColumn), "ascending");
  EXPECT_EQ(column("sparsity").front(), 0.0);
  browser_->type(button(kSparsityColumn), kSpace);
  EXPECT_EQ(state_of(kSparsityColumn), "descending");
  EXPECT_NEAR(column("sparsity").front(), 0.7, 1e-3);
  EXPECT_EQ(column("sparsity").back(), 0.0);
}

TEST_F(ReportPage, SavesTheTableAsTheCsvBesideIt) {
  browser_->click("a[download='espalier-runs.csv']");
  const fs::path saved = *folder_ / "espalier-runs.csv";
  for (int i = 0; i < 200 && !fs::exists(saved); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ASSERT_TRUE(fs::exists(saved));
  EXPECT_EQ(read_file(saved, "test"), read_file(*folder_ / "report.csv", "test"));
  const std::vector<uint8_t> bytes = read_file(saved, "test");
  const auto records = parse_csv({bytes.begin(), bytes.end()}, "saved");
  ASSERT_EQ(records.size(), 5U);
  EXPECT_EQ(records[1][0], "dense1");
}

TEST_F(ReportPage, HasNamesForEverythingThatIsReadAloud) {
  const Json missing = browser_->run(
      "const out = [];"
      "for (const table of document.querySelectorAll('table')) {"
      "  if (!table.caption?.textContent) out.push('caption of ' + table.id);"
      "  for (const head of table.tHead.rows[0].cells)"
      "    if (head.scope !== 'col' || !head.hasAttribute('aria-sort')) out.push(head.textContent);"
      "}"
      "for (const svg of document.querySelectorAll('svg.chart'))"
      "  if (svg.getAttribute('role') !== 'img') out.push('role of a chart');"
      "const ids = [...document.querySelectorAll('[id]')].map(one => one.id);"
      "if (new Set(ids).size !== ids.length) out.push('ids given twice');"
      "if (ids.some(id => /\\s/.test(id))) out.push('ids with spaces');"
      "for (const link of document.querySelectorAll('nav a'))"
      "  if (!document.querySelector(link.getAttribute('href'))) out.push(link.href);"
      "return out;");
  EXPECT_TRUE(missing.empty()) << missing.dump(2);
}

TEST_F(ReportPage, FitsAPhone) {
  browser_->chromium("Emulation.setDeviceMetricsOverride",
                     {{"width", 390}, {"height", 844}, {"deviceScaleFactor", 2}, {"mobile", true}});
  const Json width = browser_->run("return document.documentElement.scrollWidth;");
  // A chart's text is at least 9 pixels high.
  const Json scale = browser_->run(
      "return Math.min(...[...document.querySelectorAll('svg.chart')]"
      ".map(svg => svg.getBoundingClientRect()).filter(box => box.width > 0)"
      ".map(box => box.width / 440));");
  browser_->chromium("Emulation.clearDeviceMetricsOverride", Json::object());
  EXPECT_LE(width.get<int>(), 390);
  EXPECT_GE(scale.get<double>() * 12.0, 9.0);
}

TEST_F(ReportPage, IsDarkWhereThatIsPreferredAndLightInPrint) {
  const auto paper = [&](const std::string& scheme, const std::string& media) {
    browser_->chromium(
        "Emulation.setEmulatedMedia",
        {{"media", media}, {"features", {{{"name", "prefers-color-scheme"}, {"value", scheme}}}}});
    return browser_->run("return getComputedStyle(document.body).backgroundColor;")
        .get<std::string>();
  };
  EXPECT_EQ(paper("light", ""), "rgb(255, 255, 255)");
  EXPECT_EQ(paper("dark", ""), "rgb(24, 24, 24)");
  EXPECT_EQ(paper("dark", "print"), "rgb(255, 255, 255)");
  paper("light", "");
}

TEST_F(ReportPage, ALivePageShowsARunThatCameLater) {
  const TemporaryFolder runs;
  const auto add = [&](const std::string& name) {
    fs::copy(*folder_ / "runs" / name, runs.path() / name);
  };
  add("dense1");
  ReportServer server(runs.path(), 0);
  std::thread thread([&] { server.run(); });
  browser_->open("http://127.0.0.1:" + std::to_string(server.port()) + "/");
  browser_->click(button(kAccuracyColumn));
  EXPECT_EQ(column("accuracy").size(), 1U);
  add("pruned1");
  size_t shown = 1;
  for (int i = 0; i < 200 && shown != 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    shown = column("accuracy").size();
  }
  EXPECT_EQ(shown, 2U);
  EXPECT_EQ(state_of(kAccuracyColumn), "ascending") << "the order survives";
  EXPECT_EQ(browser_->run("return document.activeElement.closest('th')?.ariaSort ?? '';"),
            Json("ascending"))
      << "the focus survives";
  // A run that is broken is named; paused, the page stays as it is.
  const auto failures = [&] {
    return browser_->run("return document.querySelectorAll('#failed dt').length;").get<int>();
  };
  fs::create_directory(runs / "broken");
  std::ofstream(runs / "broken" / "run.json") << "{";
  for (int i = 0; i < 200 && failures() != 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(failures(), 1);
  browser_->run("document.getElementById('pause').click(); return 0;");
  fs::remove_all(runs / "broken");
  std::string told;
  for (int i = 0; i < 200 && told != "Paused; there is something new."; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    told = browser_->run("return document.getElementById('live').textContent;").get<std::string>();
  }
  EXPECT_EQ(told, "Paused; there is something new.");
  EXPECT_EQ(failures(), 1);
  const Json console = browser_->console();
  EXPECT_TRUE(console.empty()) << console.dump(2);
  browser_->open("about:blank");  // asks no more
  server.stop();
  thread.join();
}

}  // namespace
}  // namespace espalier::experiments::report
