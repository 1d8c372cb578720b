// SPDX-License-Identifier: Apache-2.0
/// `espalier train`: flags and configuration file to one training.
#include <memory>
#include <ostream>

#include <nlohmann/json.hpp>

#include <espalier/experiments/figures.h>
#include <espalier/experiments/run/training.h>
#include <espalier/experiments/run/training_plan.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/method_options.h>
#include <espalier/experiments/verbs/next_commands.h>
#include <espalier/experiments/verbs/train_request.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

struct TrainFlags {
  GivenOptions given;
  std::string config;
  bool dry_run = false;
  bool json = false;
};

void train(TrainFlags& flags, Console& console) {
  const OptionTexts by_flag = flags.given.given();
  if (!flags.config.empty()) flags.given.read_config(flags.config);
  const TrainRequest request = training_request(flags.given.given(), by_flag);
  if (flags.dry_run) {
    const nlohmann::ordered_json plan = plan_training(request, console);
    console.out << (flags.json ? plan.dump(2) + "\n" : plan_text(plan));
    return;
  }
  nlohmann::ordered_json results = run_training(request, console);
  results["next"] = commands_after_training(
      console.program, request.settings, results.at("out").get<std::string>());
  if (flags.json) {
    console.out << results.dump(2) << '\n';
    return;
  }
  console.out << results.at("status").get<std::string>() << ": "
              << results.at("out").get<std::string>() << '\n'
              << figures_text(results) << commands_text(results.at("next"));
}

}  // namespace

void add_train(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "train",
      "Train a network, dense or with a pruning method; continues a run that was stopped.");
  const auto flags = std::make_shared<TrainFlags>();
  declare_training(verb, flags->given);
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
  verb.add_flag("--dry-run", flags->dry_run, "say what would be done, and touch nothing");
  verb.add_flag("--json", flags->json, "print the results as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { train(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
