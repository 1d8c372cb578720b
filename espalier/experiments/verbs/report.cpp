// SPDX-License-Identifier: Apache-2.0
/// `espalier report RUN...`: runs side by side, as a table, an HTML page, CSV and pictures; or as a
/// live page.
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>

#include <espalier/core/detail/printable.h>
#include <espalier/core/io.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/report/chart_files.h>
#include <espalier/experiments/report/report.h>
#include <espalier/experiments/report/server.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

namespace fs = std::filesystem;

constexpr int kPort = 8470;

struct ReportFlags {
  std::vector<std::string> runs;
  std::string out;
  std::string svg;
  std::string png;
  std::string watch;
  std::optional<int> port;
};

// Where the page goes: the one folder that was named, else here.
fs::path default_page(const ReportFlags& flags) {
  return (flags.runs.size() == 1 ? fs::path(flags.runs[0]) : fs::path(".")) / "report.html";
}

// Where all runs of a folder are broken there is nothing to report.
void check_some_are_read(const report::Report& report) {
  std::vector<std::string> reasons;
  for (const report::ReportRun& run : report.runs()) {
    if (!run.unreadable) return;
    reasons.push_back(run.error);
  }
  throw IoError(
      cat("report: none of the runs can be read: ", espalier::detail::some_of(reasons, 3, "; ")));
}

void write_report(const ReportFlags& flags, Console& console) {
  ESPALIER_CHECK(!flags.port, ValueError, "report: --port needs --watch, which is not given");
  ESPALIER_CHECK(!flags.runs.empty(),
                 ValueError,
                 "report: expects run folders, or --watch DIR. Example: espalier report runs/dense "
                 "runs/sparse");
  const fs::path page = flags.out.empty() ? default_page(flags) : fs::path(flags.out);
  ESPALIER_CHECK(page.extension() != ".csv",
                 ValueError,
                 "report: --out names the page; the CSV is written beside it");
  const fs::path csv = table_beside(page);
  check_outputs(
      "report",
      {{"--out", page, FileKind::ReportPage}, {"--out's table", csv, FileKind::ReportTable}},
      {});
  const report::Report report(report::read_runs({flags.runs.begin(), flags.runs.end()}));
  check_some_are_read(report);
  const std::string html = report::html_page(report);
  while_writing([&] {
    write_file(page, html);
    if (!csv.empty()) write_file(csv, report.csv());
  });
  console.out << report.text() << "\n" << page.string() << '\n';
  if (!csv.empty()) console.out << csv.string() << '\n';
  const auto write_pictures = [&](const std::string& folder, report::ChartFormat format) {
    if (folder.empty()) return;
    const auto files = while_writing([&] { return report::write_charts(report, folder, format); });
    for (const fs::path& file : files) console.out << file.string() << '\n';
  };
  write_pictures(flags.svg, report::ChartFormat::Svg);
  write_pictures(flags.png, report::ChartFormat::Png);
}

void watch(const ReportFlags& flags, Console& console) {
  ESPALIER_CHECK(flags.runs.empty() && flags.out.empty() && flags.svg.empty() && flags.png.empty(),
                 ValueError,
                 "report: --watch shows one folder and writes nothing; leave the other arguments "
                 "out");
  report::ReportServer server(flags.watch, flags.port.value_or(kPort));
  console.out << "http://127.0.0.1:" << server.port() << "/  (Ctrl-C ends it)" << std::endl;
  server.run();
}

}  // namespace

void add_report(const Verb& app, Console& console, Action& action) {
  const Verb verb =
      app.add_verb("report", "Runs side by side: a table, one HTML page, and CSV beside it.");
  const auto flags = std::make_shared<ReportFlags>();
  verb.add_option("runs",
                  flags->runs,
                  "run folders, results of experiments, or folders in which such lie. A run is "
                  "compared with the dense one of the same network, data and seed, else the first");
  verb.add_option("--out",
                  flags->out,
                  "the page. Without: report.html in the folder that is named, if it is one")
      .type_name("FILE");
  verb.add_option("--svg", flags->svg, "also write every chart as SVG to this folder")
      .type_name("DIR");
  verb.add_option("--png",
                  flags->png,
                  "also write every chart as PNG to this folder; needs rsvg-convert (Debian: "
                  "librsvg2-bin)")
      .type_name("DIR");
  verb.add_option("--watch",
                  flags->watch,
                  "instead serve the page of all runs in this folder, on this machine only, and "
                  "follow them while they are made")
      .type_name("DIR");
  verb.add_option("--port", flags->port, "of --watch; 0 takes a free one [8470]").between(0, 65535);
  verb.callback([&action, &console, flags] {
    action = [&console, flags] {
      flags->watch.empty() ? write_report(*flags, console) : watch(*flags, console);
    };
  });
}

}  // namespace espalier::experiments::verbs
