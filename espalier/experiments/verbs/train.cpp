// SPDX-License-Identifier: Apache-2.0
/// `espalier train`: flags and configuration file to one training.
#include <algorithm>
#include <memory>
#include <ostream>

#include <nlohmann/json.hpp>

#include <espalier/experiments/figures.h>
#include <espalier/experiments/run/training.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/method_options.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

struct TrainFlags {
  GivenOptions given;
  std::string config;
  bool json = false;
};

// What the file set and a flag makes idle: flags win, so it is left out. Where no flag is in play
// it stays, and reading it is an error.
OptionTexts without_idle(OptionTexts given,
                         const std::vector<Option>& declared,
                         const OptionTexts& by_flag) {
  const auto text = [&](const std::string& name) {
    if (const auto found = given.find(name); found != given.end()) return found->second;
    const auto option = std::ranges::find(declared, name, &Option::name);
    return option == declared.end() ? std::string() : option->default_value;
  };
  for (const Option& option : declared) {
    const bool idle = !option.needs.is_met(text(option.needs.option));
    const bool by_a_flag = by_flag.contains(option.needs.option) || by_flag.contains("prune");
    if (idle && by_a_flag && !by_flag.contains(option.name)) given.erase(option.name);
  }
  return given;
}

void train(TrainFlags& flags, Console& console) {
  const OptionTexts by_flag = flags.given.given();
  if (!flags.config.empty()) flags.given.read_config(flags.config);
  const std::vector<Option>& own = train_table().options();
  TrainRequest request{.settings = train_table().read(
                           "train", without_idle(flags.given.given_of(own), own, by_flag)),
                       .given = flags.given.names()};
  const std::string& method = request.settings.run.prune;
  OptionTexts of_method = flags.given.given_of(options_of_any_method());
  if (!method.empty()) {
    of_method = without_idle(std::move(of_method), method_options(method), by_flag);
  }
  request.method = chosen_method(method, of_method);
  const nlohmann::ordered_json results = run_training(request, console);
  if (flags.json) {
    console.out << results.dump(2) << '\n';
    return;
  }
  console.out << results.at("status").get<std::string>() << ": "
              << results.at("out").get<std::string>() << '\n'
              << figures_text(results);
}

}  // namespace

void add_train(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "train",
      "Train a network, dense or with a pruning method; continues a run that was stopped.");
  const auto flags = std::make_shared<TrainFlags>();
  flags->given.declare(verb, network_table().options(), "Network and data");
  flags->given.declare(verb, data_table().options(), "Network and data");
  flags->given.declare(verb, test_size_table().options(), "Network and data");
  flags->given.declare(verb, training_table().options(), "Training");
  flags->given.declare(verb, run_table().options(), "Run");
  flags->given.declare(verb, normalization_table().options(), "Run");
  flags->given.declare(verb, machine_table().options(), "Machine");
  flags->given.declare(verb, kernel_table().options(), "Machine");
  flags->given.declare(verb, prune::prune_settings().options(), "Pruning, with any method");
  flags->given.declare(verb, options_of_any_method(), "");
  verb.footer([flags] {
    const std::string* method = flags->given.find("prune");
    return method_help("train --prune", method == nullptr ? "" : *method) +
           "\nTrain ResNet-20 for 30 epochs with 90 % of its weights gone, then look at what came "
           "out:\n"
           "  espalier train --data cifar10 --prune rigl --out runs/rigl\n"
           "  espalier report runs/rigl\n";
  });
  verb.add_option("--config", flags->config, "TOML file with the same names as keys; flags win")
      .type_name("FILE");
  verb.add_flag("--json", flags->json, "print the results as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { train(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
