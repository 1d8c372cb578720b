// SPDX-License-Identifier: Apache-2.0
/// `espalier sweep`: trainings over a grid of options.
#include <filesystem>
#include <memory>
#include <ostream>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/report/reproduce.h>
#include <espalier/experiments/run/training_plan.h>
#include <espalier/experiments/settings/method_options.h>
#include <espalier/experiments/sweep/sweep.h>
#include <espalier/experiments/verbs/next_commands.h>
#include <espalier/experiments/verbs/train_request.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct SweepFlags {
  GivenOptions given;
  std::string config;
  bool dry_run = false;
  bool json = false;
};

// All that can be wrong with any of the trainings' options is found before the first.
std::vector<SweepRun> runs_of(OptionTexts given, const OptionTexts& by_flag) {
  std::string root = "runs/sweep";
  if (const auto out = given.find("out"); out != given.end()) {
    root = out->second;
    given.erase(out);
  }
  std::vector<Option> options = train_table().options();
  const std::vector<Option>& of_methods = options_of_any_method();
  options.insert(options.end(), of_methods.begin(), of_methods.end());
  std::vector<SweepRun> runs;
  std::set<std::string> folders;
  for (const GridPoint& point : grid_of(options, given)) {
    SweepRun run{.varied = point.varied, .request = training_request(point.texts, by_flag)};
    std::string& out = run.request.settings.run.out;
    out = (fs::path(root) / grid_name(point.varied)).string();
    ESPALIER_CHECK(folders.insert(out).second,
                   ValueError,
                   "sweep: expected a folder for each training, got ",
                   out,
                   " twice; give values whose names differ in letters and digits");
    run.request.given.insert("out");
    runs.push_back(std::move(run));
  }
  return runs;
}

void tell_runs(const std::vector<SweepRun>& runs, bool json, Console& console) {
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows = {{"folder", "status"}};
  for (const SweepRun& run : runs) {
    const auto [folder, status] = place_of_training(run.request, console);
    rows.push_back({folder, status});
    list.push_back({{"settings", run.varied}, {"out", folder}, {"status", status}});
  }
  console.out << (json ? Json({{"runs", list}}).dump(2) + "\n"
                       : text_table(rows) +
                             fmt::format("\n{} trainings; nothing was written\n", runs.size()));
}

void sweep(SweepFlags& flags, Console& console) {
  const OptionTexts by_flag = flags.given.given();
  if (!flags.config.empty()) flags.given.read_config(flags.config);
  const std::vector<SweepRun> runs = runs_of(flags.given.given(), by_flag);
  if (flags.dry_run) return tell_runs(runs, flags.json, console);
  Json swept = run_sweep(runs, console);
  const std::string root = fs::path(runs.front().request.settings.run.out).parent_path().string();
  swept["next"] = {report::shell_word(console.program) + " report " + report::shell_word(root)};
  console.out << (flags.json ? swept.dump(2) + "\n"
                             : sweep_text(swept) + commands_text(swept.at("next")));
  int64_t failed = 0;
  for (const Json& run : swept.at("runs")) failed += run.contains("error") ? 1 : 0;
  if (failed > 0) {
    throw RunFailure(cat("sweep: ",
                         failed,
                         " of ",
                         runs.size(),
                         " runs failed; the same command "
                         "tries them again"));
  }
}

}  // namespace

void add_sweep(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "sweep",
      "Trainings over a grid: any option of train with several values, a,b,c or 1..3. They run one "
      "after another, each in a folder below --out; the same command makes those that are "
      "missing.");
  const auto flags = std::make_shared<SweepFlags>();
  declare_training(verb, flags->given);
  verb.footer([flags] {
    const std::string* method = flags->given.find("prune");
    const bool one = method != nullptr && method->find(',') == std::string::npos;
    return method_help("sweep --prune", one ? *method : "") +
           "\nNine trainings, and what they come to, over seeds:\n"
           "  espalier sweep --prune gmp --sparsity 0.5,0.8,0.9 --seed 1..3 --out runs/gmp\n"
           "  espalier report runs/gmp\n"
           "Values that hold commas themselves are divided by `;`: --milestones "
           "'0.5,0.75;0.3,0.6'\n";
  });
  verb.add_option("--config", flags->config, "TOML file with the same names as keys; flags win")
      .type_name("FILE");
  verb.add_flag("--dry-run", flags->dry_run, "say which trainings there are, and touch nothing");
  verb.add_flag("--json", flags->json, "print runs and means as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { sweep(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
