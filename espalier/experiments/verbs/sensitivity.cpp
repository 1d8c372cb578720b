// SPDX-License-Identifier: Apache-2.0
/// `espalier sensitivity`: accuracy against sparsity, layer by layer, and budgets that meet a
/// floor.
#include <filesystem>
#include <memory>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/file_set.h>
#include <espalier/core/parallel.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/inputs/masks.h>
#include <espalier/experiments/interrupt.h>
#include <espalier/experiments/report/reproduce.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/run/run_weights.h>
#include <espalier/experiments/sensitivity/page.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/verbs/next_commands.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct SensitivityFlags {
  GivenOptions given;
  bool json = false;
};

enum class Split : uint8_t { Test, Train };

struct SensitivitySettings {
  std::string weights = {};
  std::string out = {};
  std::string sparsities = "0.3,0.5,0.7,0.8,0.9,0.95";
  std::string pattern = "unstructured";
  double drop = 0.01;
  double floor = 0.0;
  Split split = Split::Test;
  int64_t test_size = 0;
  int64_t batch = 256;
  NetworkSettings network = {};
  DataSettings data = {};
  Normalization normalization = {};
  MachineSettings machine = {};
};

const OptionTable<SensitivitySettings>& own_table() {
  using S = SensitivitySettings;
  static const OptionTable<S> table = {
      {&S::weights, "weights", "a trained network: a run folder, safetensors or .edc"},
      {&S::out, "out", "a folder for sensitivity.json and sensitivity.html; else none is written"},
      {&S::sparsities, "sparsities", "of a layer alone, rising"},
      {&S::pattern, "pattern", "what falls together: unstructured, filter, kernel, stripe, 4x1"},
      {&S::drop, "drop", {0, 1}, "fraction", "accuracy that all budgets at once may cost"},
      {&S::floor,
       "floor",
       {0, 1},
       "fraction",
       "the accuracy to keep, instead of --drop; 0: by --drop"},
      {&S::split, "split", {"test", "train"}, "the part of the data set that is evaluated"},
      OptionEntry<S>(&S::test_size, "test-size", {0, 1e9}, "", kTestSizeHelp)
          .needing("split", {"test"}),
      {&S::batch, "batch", {1, 65536}, "", "samples at once"},
  };
  return table;
}

const OptionTable<SensitivitySettings>& sensitivity_table() {
  using S = SensitivitySettings;
  static const OptionTable<S> table = OptionTable<S>(own_table())
                                          .include(&S::network, network_table())
                                          .include(&S::data, data_table())
                                          .include(&S::normalization, normalization_table())
                                          .include(&S::machine, machine_table());
  return table;
}

// `conv1=0.5,fc=0.9`, as `train --layer-sparsity` takes it.
std::string layer_sparsity(const Sensitivity& found) {
  std::string out;
  for (const LayerCurve& layer : found.layers) {
    out += fmt::format("{}{}={:g}", out.empty() ? "" : ",", layer.name, layer.budget);
  }
  return out;
}

void run(const SensitivityFlags& flags, Console& console) {
  const SensitivitySettings settings = sensitivity_table().read("sensitivity", flags.given.given());
  ESPALIER_CHECK(!settings.weights.empty(),
                 ValueError,
                 "sensitivity: expected --weights, a run folder or a file; got none");
  ESPALIER_CHECK(settings.floor == 0.0 || flags.given.find("drop") == nullptr,
                 ValueError,
                 "sensitivity: expected --floor or --drop, got both");
  const fs::path weights = weights_at(settings.weights), out = settings.out;
  if (!out.empty()) {
    check_outputs("sensitivity",
                  {{"--out", out / "sensitivity.json", FileKind::Sensitivity},
                   {"--out", out / "sensitivity.html", FileKind::ReportPage}},
                  {weights});
  }
  set_num_threads(static_cast<int>(settings.machine.threads));
  const bool test = settings.split == Split::Test;
  const auto dataset =
      open_split(settings.data, test ? data::Split::Test : data::Split::Train, settings.test_size);
  tell_notes({dataset.get()}, console);
  Network network =
      load_network(weights, make_network(settings.network, settings.data.other_classes, *dataset));
  check_asked_network("sensitivity",
                      asked_of_network(settings.network, flags.given.names()),
                      network,
                      weights.string());
  data::Loader loader(
      dataset, evaluation_loader(settings.normalization, settings.machine.workers, settings.batch));
  SensitivityOptions options{.sparsities = parse_numbers("sparsities", settings.sparsities),
                             .pattern = settings.pattern,
                             .floor = settings.floor};
  const auto accuracy = [&] {
    const nn::Evaluation evaluation = nn::evaluate(*network.module, loader);
    return evaluation.accuracy();
  };
  if (settings.floor == 0.0) options.floor = std::max(0.0, accuracy() - settings.drop);
  const InterruptScope interrupts;
  Progress progress(console, 1);
  const Sensitivity found = sensitivity_of(
      network, options, accuracy, [&, total = int64_t{1}](int64_t done, int64_t most) mutable {
        progress.extend(most - total);
        total = most;
        progress.update(done, {{"evaluations of pruned layers"}});
      });
  const std::string title = cat(network.name, " on ", settings.data.data);
  Json json = {
      {"sensitivity", title}, {"weights", weights.string()}, {"pattern", settings.pattern}};
  json.update(sensitivity_json(found));
  json["layer_sparsity"] = layer_sparsity(found);
  json["next"] = {cat(report::shell_word(console.program),
                      " train --weights ",
                      report::shell_word(weights.string()),
                      " --data ",
                      report::shell_word(settings.data.data),
                      " --prune magnitude --pattern ",
                      report::shell_word(settings.pattern),
                      " --layer-sparsity ",
                      report::shell_word(layer_sparsity(found)))};
  std::string written;
  if (!out.empty()) {
    while_writing([&] {
      FileSet files(out);
      files.write("sensitivity.json", json.dump(2) + "\n");
      files.write("sensitivity.html", sensitivity_page(found, title));
      files.commit();
    });
    json["out"] = out.string();
    written = "written to  " + (out / "sensitivity.html").string() + "\n            " +
              (out / "sensitivity.json").string() + "\n";
  }
  console.out << (flags.json ? json.dump(2) + "\n"
                             : sensitivity_text(found) + written + commands_text(json.at("next")));
}

}  // namespace

void add_sensitivity(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "sensitivity",
      "Accuracy against sparsity, layer by layer, without training, and how sparse each layer may "
      "be for all together to keep an accuracy.");
  const auto flags = std::make_shared<SensitivityFlags>();
  flags->given.declare(verb, own_table().options(), "Sensitivity");
  flags->given.declare(verb, normalization_table().options(), "Sensitivity");
  flags->given.declare(verb, network_table().options(), "Network (files of ours tell it)");
  flags->given.declare(verb, data_table().options(), "Data");
  flags->given.declare(verb, machine_table().options(), "Machine");
  show_required(verb, "weights");
  verb.add_flag("--json", flags->json, "print the curves and the budgets as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { run(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
