// SPDX-License-Identifier: Apache-2.0
/// `espalier experiment list | run NAME`: the survey's comparisons.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <espalier/core/file_set.h>
#include <espalier/core/io.h>
#include <espalier/experiments/comparisons/experiment.h>
#include <espalier/experiments/comparisons/page.h>
#include <espalier/experiments/comparisons/runner.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/report/reproduce.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct ExperimentFlags {
  GivenOptions given;
  std::string name;
  std::string preset = "quick";
  std::string out = "runs";
  std::string page;
  std::optional<int64_t> seed;
  bool dry_run = false;
  bool json = false;
};

void list(const ExperimentFlags& flags, Console& console) {
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows = {{"name", "title", "presets"}};
  for (const comparisons::Experiment& one : comparisons::experiments()) {
    const bool available = one.unavailable.empty();
    rows.push_back(
        {one.name, one.title, available ? "smoke, quick, paper" : "none: " + one.unavailable});
    Json line = {{"name", one.name}, {"title", one.title}, {"presets", Json::array()}};
    if (available) line["presets"] = {"smoke", "quick", "paper"};
    if (!available) line["unavailable"] = one.unavailable;
    json.push_back(std::move(line));
  }
  console.out << (flags.json ? json.dump(2) + "\n" : text_table(rows));
}

// What is set for all runs: places and machine, nothing that changes a result.
// Settings of every run that may differ from machine to machine.
std::vector<Option> place_options() {
  std::vector<Option> out;
  for (const Option& option : train_table().options()) {
    for (const char* name : {"threads", "workers", "data-root", "allow-other-simd"}) {
      if (option.name == name) out.push_back(option);
    }
  }
  return out;
}

comparisons::RunnerOptions runner_options(const ExperimentFlags& flags,
                                          const comparisons::Experiment& experiment,
                                          comparisons::Preset preset) {
  constexpr double kRoundSeconds = 0.05;
  comparisons::RunnerOptions options{.folder = flags.out, .settings = flags.given.given()};
  if (experiment.speeds)
    options.speed_round_seconds = preset == comparisons::Preset::Smoke ? 0.0 : kRoundSeconds;
  return options;
}

comparisons::Scale scale_for(const ExperimentFlags& flags,
                             const comparisons::Experiment& experiment,
                             comparisons::Preset preset) {
  const std::string* root = flags.given.find("data-root");
  comparisons::Scale scale =
      comparisons::scale_of(experiment, preset, root == nullptr ? default_data_root() : *root);
  if (!flags.seed) return scale;
  ESPALIER_CHECK(
      std::find(scale.seeds.begin(), scale.seeds.end(), *flags.seed) != scale.seeds.end(),
      ValueError,
      "experiment ",
      experiment.name,
      ": expects a seed of the preset ",
      name(preset),
      " (",
      fmt::format("{}", fmt::join(scale.seeds, ", ")),
      "), got ",
      *flags.seed);
  scale.seeds = {*flags.seed};
  return scale;
}

/// A part of the runs, made for whoever makes the page. Runs of different seeds share nothing.
void share(const comparisons::Plan& plan,
           const comparisons::RunnerOptions& options,
           Console& console) {
  const std::vector<comparisons::RunRow> rows = comparisons::run_plan(plan, options, console);
  const auto failed = std::count_if(
      rows.begin(), rows.end(), [](const comparisons::RunRow& row) { return !row.finished(); });
  console.out << fmt::format("{} of {} runs are there\n", rows.size() - failed, rows.size());
  if (failed > 0) throw RunFailure(cat("experiment: ", failed, " runs failed"));
}

void tell_runs(const comparisons::Plan& plan,
               const comparisons::RunnerOptions& options,
               const fs::path& results,
               bool json,
               Console& console) {
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows = {{"run", "status", "folder"}};
  int64_t missing = 0;
  for (const comparisons::RunPlace& place : comparisons::places_of_runs(plan, options, console)) {
    missing += place.status == "is finished" ? 0 : 1;
    rows.push_back({place.title, place.status, place.folder.empty() ? "-" : place.folder});
    list.push_back({{"run", place.title}, {"status", place.status}, {"folder", place.folder}});
  }
  const Json told = {{"runs", list}, {"missing", missing}, {"out", results.string()}};
  console.out << (json
                      ? told.dump(2) + "\n"
                      : text_table(rows) + fmt::format("\n{} of {} runs are to be made; tables and "
                                                       "page go to {}; nothing was written\n",
                                                       missing,
                                                       list.size(),
                                                       results.string()));
}

void run(const ExperimentFlags& flags, Console& console) {
  const comparisons::Experiment& chosen = comparisons::experiment(flags.name);
  ESPALIER_CHECK(chosen.unavailable.empty(),
                 NotImplemented,
                 "experiment ",
                 chosen.name,
                 ": is not available: ",
                 chosen.unavailable);
  const comparisons::Preset preset = comparisons::parse_preset(flags.preset);
  comparisons::Plan plan(scale_for(flags, chosen, preset));
  chosen.plan(plan);
  ESPALIER_CHECK(!flags.seed || flags.dry_run || (flags.page.empty() && !flags.json),
                 ValueError,
                 "experiment run: --seed makes runs and no tables; --page and --json are for the "
                 "command that makes them, without --seed");
  ESPALIER_CHECK(fs::path(flags.page).extension() != ".csv",
                 ValueError,
                 "experiment run: --page expects a Markdown file, got ",
                 flags.page,
                 ", where the table of runs goes");
  ESPALIER_CHECK(!fs::is_directory(flags.page),
                 ValueError,
                 "experiment run: --page expects a file, got the folder ",
                 flags.page);
  const fs::path folder = fs::path(flags.out) / "experiments" / (chosen.name + "-" + name(preset));
  const fs::path table = table_beside(flags.page);
  check_outputs("experiment run",
                {{"--out", folder / "README.md", FileKind::ExperimentPage},
                 {"--out", folder / kRunsTable, FileKind::ExperimentTable},
                 {"--out", folder / kLayersTable, FileKind::LayerTable},
                 {"--page", flags.page, FileKind::ExperimentPage},
                 {"--page's table", table, FileKind::ExperimentTable}},
                {});
  if (flags.dry_run) {
    return tell_runs(plan, runner_options(flags, chosen, preset), folder, flags.json, console);
  }
  if (flags.seed) return share(plan, runner_options(flags, chosen, preset), console);
  const comparisons::ExperimentPage page(
      chosen,
      plan.scale(),
      comparisons::run_plan(plan, runner_options(flags, chosen, preset), console));

  const std::string command =
      fmt::format("espalier experiment run {} --preset {}{}",
                  chosen.name,
                  name(preset),
                  flags.page.empty() ? "" : " --page " + report::shell_word(flags.page));
  while_writing([&] {
    FileSet files(folder);
    files.write(kRunsTable, page.csv());
    files.write(kLayersTable, page.layers_csv());
    files.write("README.md", page.markdown(command));
    files.commit();
    if (flags.page.empty()) return;
    write_file(flags.page, page.markdown(command));
    if (!table.empty()) write_file(table, page.csv());
  });
  if (flags.json) {
    Json json = page.json();
    json["out"] = folder.string();
    console.out << json.dump(2) << '\n';
  } else {
    for (const comparisons::Finding& finding : page.findings()) {
      console.out << finding.claim.source << ": " << finding.claim.sentence
                  << "\nhere: " << finding.text() << "\n\n";
    }
    console.out << (folder / "README.md").string() << '\n'
                << (folder / kRunsTable).string() << '\n';
  }
  if (page.failed() > 0) {
    throw RunFailure(cat("experiment ",
                         chosen.name,
                         ": ",
                         page.failed(),
                         " of ",
                         plan.runs().size(),
                         " runs failed; ",
                         (folder / "README.md").string(),
                         " names them. The same command tries them again"));
  }
}

}  // namespace

void add_experiment(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb("experiment", "The survey's comparisons: list them, run one.");
  verb.require_verb();
  const auto flags = std::make_shared<ExperimentFlags>();
  const Verb listing = verb.add_verb("list", "The experiments and their presets.");
  listing.add_flag("--json", flags->json, "print as JSON");
  listing.callback(
      [&action, &console, flags] { action = [&console, flags] { list(*flags, console); }; });

  const Verb running = verb.add_verb(
      "run", "Make the runs of an experiment that are missing, then its tables and its page.");
  running.add_option("name", flags->name, "the experiment; `espalier experiment list` has them")
      .required();
  running.add_option("--preset",
                     flags->preset,
                     "smoke: seconds, on made-up digits. quick: narrow networks, a part of "
                     "CIFAR-10. paper: all of it [quick]");
  running
      .add_option("--out",
                  flags->out,
                  "run folders go here, shared by all experiments, and results to "
                  "experiments/NAME-PRESET below it [runs]")
      .type_name("DIR");
  running
      .add_option(
          "--page", flags->page, "also write the page to this file, and the runs to .csv beside it")
      .type_name("FILE");
  running
      .add_option("--seed",
                  flags->seed,
                  "make the runs of this seed alone, and no tables: a share of the work for one of "
                  "several processes [all seeds]")
      .type_name("INT");
  flags->given.declare(running, place_options(), "Machine");
  running.add_flag("--dry-run", flags->dry_run, "say which runs would be made, and touch nothing");
  running.add_flag("--json", flags->json, "print findings and failures as JSON");
  running.callback(
      [&action, &console, flags] { action = [&console, flags] { run(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
