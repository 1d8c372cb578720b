// SPDX-License-Identifier: Apache-2.0
/// `espalier report RUN...`: runs side by side, as a table, an HTML page and CSV.
#include <filesystem>
#include <memory>
#include <ostream>

#include <espalier/core/io.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/report/report.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;

struct ReportFlags {
  std::vector<std::string> runs;
  std::string out;
};

void report(const ReportFlags& flags, Console& console) {
  std::vector<RunRecord> runs;
  for (const std::string& path : flags.runs) runs.push_back(read_run(path));
  fs::path page = flags.out;
  if (page.empty()) page = (runs.size() == 1 ? runs[0].path : fs::path(".")) / "report.html";
  ESPALIER_CHECK(page.extension() != ".csv",
                 ValueError,
                 "report: --out names the page; the CSV is written beside it");
  const Report made(std::move(runs));
  const fs::path csv = fs::path(page).replace_extension(".csv");
  while_writing([&] {
    write_file(page, made.html());
    write_file(csv, made.csv());
  });
  console.out << made.text() << "\n" << page.string() << "\n" << csv.string() << '\n';
}

}  // namespace

void add_report(CLI::App& app, Console& console, Action& action) {
  CLI::App* verb =
      app.add_subcommand("report", "Runs side by side: a table, one HTML page, and CSV beside it.");
  const auto flags = std::make_shared<ReportFlags>();
  verb->add_option("runs", flags->runs, "Run folders; the first is what others are compared with.")
      ->required();
  verb->add_option("--out", flags->out, "The page. Without: report.html in the run's folder.")
      ->type_name("FILE");
  verb->callback(
      [&action, &console, flags] { action = [&console, flags] { report(*flags, console); }; });
}

}  // namespace espalier::experiments
