// SPDX-License-Identifier: Apache-2.0
// The report: charts, groups, what is read from where, the live server.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

#include <espalier/core/io.h>
#include <espalier/experiments/csv.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/report/chart.h>
#include <espalier/experiments/report/chart_table.h>
#include <espalier/experiments/report/report.h>
#include <espalier/experiments/report/reproduce.h>

#include "command_line.h"
#include "made_up_runs.h"

using espalier::testing::TemporaryFolder;
using espalier::testing::write_run;

namespace espalier::experiments::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string slurp(const fs::path& path) {
  const std::vector<uint8_t> bytes = read_file(path, "test");
  return {bytes.begin(), bytes.end()};
}

size_t count_of(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(Csv, FieldsSurviveQuotesCommasAndLines) {
  const std::vector<std::string> fields = {"plain", "a,b", "say \"x\"", "two\nlines", ""};
  std::string line;
  for (const std::string& field : fields) line += (line.empty() ? "" : ",") + csv_field(field);
  EXPECT_EQ(parse_csv(line + "\n", "t"), (std::vector<std::vector<std::string>>{fields}));
  EXPECT_EQ(parse_csv("a,b\r\n1,2\r\n", "t"),
            (std::vector<std::vector<std::string>>{{"a", "b"}, {"1", "2"}}));
  EXPECT_TRUE(parse_csv("", "t").empty());
  EXPECT_THROW(parse_csv("a,\"b\n", "t"), IoError);
  EXPECT_THROW(parse_csv("a,b\n1\n", "t"), IoError);
}

TEST(Chart, TicksAreRoundAndCoverTheRange) {
  EXPECT_EQ(axis_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{
           {0.3, 0.31}, {-5, 1234}, {7, 7}, {0, 0}, {1e-9, 2e-9}, {-1e9, 1e9}}) {
    const std::vector<double> ticks = axis_ticks(low, high, 5);
    ASSERT_GE(ticks.size(), 2u);
    EXPECT_LE(ticks.size(), 20u);
    const double slack = 1e-6 * (ticks[1] - ticks[0]);
    EXPECT_LE(ticks.front(), low + slack);
    EXPECT_GE(ticks.back(), high - slack);
  }
  EXPECT_THROW(axis_ticks(1, 0, 5), ValueError);
  EXPECT_THROW(axis_ticks(0, std::nan(""), 5), ValueError);
}

TEST(Chart, SurvivesEmptySinglePointAndNotFinite) {
  EXPECT_NE(draw(Chart{.title = "t"}).find("no data"), std::string::npos);
  EXPECT_NE(draw(RowChart{.title = "t"}).find("no data"), std::string::npos);
  for (const Scale scale : {Scale::Linear, Scale::Log, Scale::Kept}) {
    const Chart one{.title = "t",
                    .x = {.title = "x", .scale = scale},
                    .series = {{.name = "a", .points = {{.x = 1, .y = 2}}}}};
    EXPECT_NE(draw(one).find("<circle"), std::string::npos);
    Chart more = one;
    more.series[0].points = {{.x = 1, .y = 2}, {.x = 2, .y = NAN}, {.x = 100, .y = 4}};
    const std::string svg = draw(more);
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
    EXPECT_EQ(count_of(svg, "r=\"3.6\"><title>"), 2U) << "markers of points, without the legend's";
  }
}

TEST(Chart, HasItsNumbersAsATable) {
  Chart chart{.title = "t", .x = {.title = "epoch"}, .y = {.title = "loss"}};
  Series line{.name = "snip", .points = {}};
  for (int i = 1; i <= 100; ++i) {
    line.points.push_back({.x = 1.0 * i, .y = 0.5 * i, .y_deviation = 0.25});
  }
  chart.series = {line, {.name = "dense", .points = {{.x = 7, .y = NAN}}}};
  const HtmlTable table = table_of("id", chart);
  ASSERT_EQ(table.rows.size(), 12U + 1U);
  EXPECT_EQ(table.rows[0][1].text, "1");
  EXPECT_EQ(table.rows[0][2].text, "0.5 ± 0.25");
  EXPECT_EQ(table.rows[11][1].text, "100");
  EXPECT_EQ(table.rows[12][2].text, "-");
  EXPECT_NE(table.caption.find("12 points"), std::string::npos);
  const HtmlTable rows =
      table_of("id",
               RowChart{.title = "t",
                        .rows = {"conv1", "conv2"},
                        .series = {{.name = "a", .points = {{.x = 3, .y = 1}}}}});
  ASSERT_EQ(rows.rows.size(), 1U);
  EXPECT_EQ(rows.rows[0][0].text, "conv2");
}

TEST(Chart, LogarithmicAxesLeaveOutWhatIsNotPositive) {
  const std::string svg = draw(
      Chart{.title = "t",
            .x = {.title = "x", .scale = Scale::Log},
            .series = {{.name = "a",
                        .points = {{.x = 0, .y = 1}, {.x = 1e6, .y = 2}, {.x = 1e7, .y = 3}}}}});
  EXPECT_EQ(count_of(svg, "r=\"3.6\"><title>"), 2U);
  EXPECT_NE(svg.find(">1 M<"), std::string::npos);
  EXPECT_NE(svg.find(">10 M<"), std::string::npos);
}

TEST(Chart, ShowsSpreadAsBandsOrBars) {
  Chart chart{.title = "t",
              .series = {{.name = "a",
                          .points = {{.x = 0, .y = 1, .y_deviation = 0.5}, {.x = 1, .y = 2}}}}};
  EXPECT_NE(draw(chart).find("class=\"band\""), std::string::npos);
  EXPECT_EQ(draw(chart).find("class=\"error\""), std::string::npos);
  chart.bands = false;
  EXPECT_EQ(draw(chart).find("class=\"band\""), std::string::npos);
  EXPECT_EQ(count_of(draw(chart), "class=\"error\""), 1U);
  chart.series[0].points[0].y_deviation = 0.0;
  EXPECT_EQ(draw(chart).find("class=\"error\""), std::string::npos) << "no spread, no bar";
}

TEST(Chart, EqualStepsOfTheKeptScaleAreEqualFactors) {
  // 90 % and 99 % removed: a tenth and a hundredth are kept, so 0, 90 and 99 stand equally far
  // apart.
  const std::string svg =
      draw(Chart{.title = "t",
                 .x = {.title = "x", .scale = Scale::Kept},
                 .series = {{.name = "a",
                             .points = {{.x = 0, .y = 1}, {.x = 90, .y = 1}, {.x = 99, .y = 1}}}}});
  std::vector<double> at;
  for (size_t from = svg.find("<circle class=\"mark\" cx=\""); from != std::string::npos;
       from = svg.find("<circle class=\"mark\" cx=\"", from + 1)) {
    at.push_back(std::stod(svg.substr(from + 25)));
  }
  ASSERT_GE(at.size(), 3U);
  EXPECT_NEAR(at[1] - at[0], at[2] - at[1], 0.11) << "positions are written with one decimal";
  EXPECT_GT(at[1] - at[0], 50.0);
}

TEST(Chart, ParetoFrontIsWhatNothingBeatsInBoth) {
  const std::vector<std::pair<double, double>> points = {{1, 9}, {2, 7}, {2, 8}, {3, 8}, {4, 1}};
  using Front = std::vector<std::pair<double, double>>;
  EXPECT_EQ(pareto_front(points, Better::Right), (Front{{1, 9}, {3, 8}, {4, 1}}));
  EXPECT_EQ(pareto_front(points, Better::Left), (Front{{1, 9}}));
  EXPECT_EQ(pareto_front({{1, 1}, {2, 2}, {3, 3}}, Better::Left), (Front{{1, 1}, {2, 2}, {3, 3}}));
}

TEST(Chart, EscapesNames) {
  const std::string svg =
      draw(Chart{.title = "<t>", .series = {{.name = "<script>", .points = {{.x = 1, .y = 2}}}}});
  EXPECT_EQ(svg.find("<script>"), std::string::npos);
  EXPECT_EQ(svg.find("<t>"), std::string::npos);
  EXPECT_EQ(html_escape("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
}

TEST(Base64, AgreesWithRfc4648) {
  EXPECT_EQ(base64(std::string()), "");
  EXPECT_EQ(base64(std::string("f")), "Zg==");
  EXPECT_EQ(base64(std::string("fo")), "Zm8=");
  EXPECT_EQ(base64(std::string("foobar")), "Zm9vYmFy");
}

TEST(Pictures, AMaskHasAPixelAnOutputAndInput) {
  // Two outputs, three inputs, kernels of two weights.
  const Tensor mask = Tensor::from<uint8_t>({2, 3, 1, 2}, {1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1});
  const Picture picture = mask_picture("layer", mask);
  EXPECT_EQ(picture.width, 3);
  EXPECT_EQ(picture.height, 2);
  int width = 0;
  int height = 0;
  int channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(
          picture.png.data(), static_cast<int>(picture.png.size()), &width, &height, &channels, 4),
      stbi_image_free);
  ASSERT_NE(pixels, nullptr);
  ASSERT_EQ(width, 3);
  ASSERT_EQ(height, 2);
  std::vector<int> opacity;
  for (int i = 0; i < 6; ++i) opacity.push_back(pixels.get()[4 * i + 3]);
  EXPECT_EQ(opacity, (std::vector<int>{255, 0, 128, 0, 128, 255}));
}

TEST(Pictures, LargeMasksAreAveraged) {
  Tensor mask = Tensor::zeros({192, 96}, DType::U8);
  for (int64_t i = 0; i < 96; ++i) mask.data<uint8_t>()[i] = 1;  // the first output keeps all
  const Picture picture = mask_picture("fc", mask);
  EXPECT_EQ(picture.width, 96);
  EXPECT_EQ(picture.height, 96);
}

TEST(Reproduce, NamesWhatIsNotDefaultAndQuotesIt) {
  const Json settings = {{"model", "resnet20"},
                         {"width", 1.0},
                         {"data", "synth"},
                         {"epochs", 3},
                         {"nesterov", true},
                         {"seed", 0},
                         {"weights", "my runs/model.safetensors"},
                         {"prune", "magnitude"},
                         {"threads", 2},
                         {"sparsity", 0.9},
                         {"weights-fingerprint", "ff"}};
  EXPECT_EQ(train_command(settings),
            "espalier train --model resnet20 --data synth --epochs 3 --nesterov --weights 'my "
            "runs/model.safetensors' --prune magnitude --sparsity 0.9");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(experiment_command("a/one-shot-iterative-quick/"),
            "espalier experiment run one-shot-iterative --preset quick");
  EXPECT_EQ(experiment_command("a/some-folder"), "");
}

// What a shell makes of a command, one word a line.
std::string words_in_shell(const std::string& command) {
  std::string out;
  std::FILE* shell = ::popen(("bash -c " + shell_word("printf '%s\\n' " + command)).c_str(), "r");
  for (int c = std::fgetc(shell); c != EOF; c = std::fgetc(shell)) out += static_cast<char>(c);
  ::pclose(shell);
  return out;
}

TEST(Reproduce, NamesOfSettingsAreOneWordToo) {
  const TemporaryFolder folder;
  const std::string evil = "x; touch " + (folder / "made").string() + " #";
  const Json settings = {{"model", "resnet20"}, {"data", "synth"}, {evil, 1}, {evil + "on", true}};
  EXPECT_EQ(
      words_in_shell(train_command(settings)),
      "espalier\ntrain\n--model\nresnet20\n--data\nsynth\n--" + evil + "\n1\n--" + evil + "on\n");
  EXPECT_FALSE(std::filesystem::exists(folder / "made"));
}

TEST(Reproduce, KeepsSpacesControlsAndLeadingDashes) {
  const Json settings = {{"model", "resnet20"},
                         {"data", "synth"},
                         {"weights", "a  b/ $HOME `c` it's \\"},
                         {"mask-from", "-x\x1b[31m'\\"}};
  const std::string command = train_command(settings);
  EXPECT_EQ(words_in_shell(command),
            "espalier\ntrain\n--model\nresnet20\n--data\nsynth\n--weights\na  b/ $HOME `c` it's "
            "\\\n--mask-from=-x\x1b[31m'\\\n");
  EXPECT_EQ(command.find('\x1b'), std::string::npos);
  EXPECT_EQ(shell_word("a\nb"), "$'a\\x0ab'");
}

TEST(Reproduce, LeavesOutWhatTrainWouldRefuse) {
  Json settings = {{"model", "lenet5"},
                   {"data", "synth"},
                   {"optimizer", "adam"},
                   {"momentum", 0.8},
                   {"schedule", "cosine"},
                   {"gamma", 0.5},
                   {"distill-from", ""},
                   {"distill-weight", 0.3}};
  EXPECT_EQ(train_command(settings),
            "espalier train --model lenet5 --data synth --optimizer adam --schedule cosine");
  settings["optimizer"] = "sgd";
  settings["schedule"] = "step";
  settings["distill-from"] = "teacher.safetensors";
  EXPECT_EQ(train_command(settings),
            "espalier train --model lenet5 --data synth --momentum 0.8 --schedule step --gamma 0.5 "
            "--distill-from teacher.safetensors --distill-weight 0.3");
}

TEST(Report, GroupsSeedsAndTellsVariantsApart) {
  const TemporaryFolder folder;
  for (const int seed : {1, 2}) {
    const std::string end = std::to_string(seed);
    write_run(folder / ("dense" + end), {{"seed", seed}, {"prune", ""}}, 0.5 + 0.1 * seed);
    for (const char* pattern : {"unstructured", "2:4"}) {
      write_run(folder / (std::string("snip-") + pattern + end),
                {{"seed", seed},
                 {"prune", "snip"},
                 {"sparsity", 0.5},
                 {"pattern", pattern},
                 {"out", end}},
                0.5,
                0.5);
    }
  }
  const Report report(read_runs({folder.path()}));
  ASSERT_EQ(report.runs().size(), 6U);
  ASSERT_EQ(report.panels().size(), 1U);
  const std::vector<RunGroup>& groups = report.panels()[0].groups;
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[0].label(), "dense");
  const auto accuracy = groups[0].summary("accuracy");
  ASSERT_TRUE(accuracy);
  EXPECT_NEAR(accuracy->mean, 0.65, 1e-12);
  EXPECT_NEAR(*accuracy->deviation, std::sqrt(0.005), 1e-12);  // of 0.6 and 0.7, with n - 1
  EXPECT_EQ(groups[1].label(), "snip pattern 2:4 0.5");
  EXPECT_EQ(groups[2].label(), "snip 0.5");
  const auto means = parse_csv(report.means_csv(), "means");
  EXPECT_EQ(means.size(), 4U);
  EXPECT_NE(html_page(report).find("65.00 ± 7.07"), std::string::npos);
}

TEST(Report, RecordedTablesOfMetricsAreReadWhereTheLinesAreMissing) {
  const TemporaryFolder folder;
  write_run(folder / "run", {{"seed", 1}}, 0.5);
  write_file(folder / "run/metrics.csv",
             "epoch,step,lr,train_loss,train_accuracy,test_loss,test_accuracy,sparsity,seconds\n"
             "1,10,0.1,2.5,0.1,2.25,0.2,0.0,1.5\n");
  const RunRecord record = read_run(folder / "run");
  ASSERT_EQ(record.metrics.size(), 1U);
  EXPECT_EQ(record.metrics[0].step, 10);
  EXPECT_EQ(record.metrics[0].test_loss, 2.25);
}

TEST(Report, ChartsAsFilesStandAlone) {
  const TemporaryFolder folder;
  write_run(folder / "run", {{"seed", 1}}, 0.5);
  const Outcome outcome = espalier_command(
      {"report", (folder / "run").string(), "--svg", (folder / "charts").string()});
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  const std::string svg = slurp(folder / "charts/accuracy-sparsity-resnet20-on-synth.svg");
  EXPECT_NE(svg.find("xmlns=\"http://www.w3.org/2000/svg\""), std::string::npos);
  EXPECT_EQ(svg.find("var("), std::string::npos) << "programs that draw SVG know no variables";
}

}  // namespace
}  // namespace espalier::experiments::report
