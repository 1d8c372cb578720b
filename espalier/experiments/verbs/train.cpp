// SPDX-License-Identifier: Apache-2.0
/// `espalier train`: flags and configuration file to one training.
#include <memory>
#include <ostream>
#include <set>

#include <nlohmann/json.hpp>

#include <espalier/experiments/figures.h>
#include <espalier/experiments/run/training.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/needs.h>
#include <espalier/experiments/settings/options.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

struct TrainFlags {
  GivenOptions given;
  std::string config;
  bool json = false;
};

// Options of a method that the file set and a flag makes idle: flags win, so they are left out. One
// in vain without a flag is an error of the method's own.
std::map<std::string, std::string> without_idle(std::map<std::string, std::string> given,
                                                const std::map<std::string, std::string>& by_flag,
                                                const std::string& method) {
  if (method.empty()) return given;
  const std::vector<Option> declared = method_options(method);
  const auto text = [&](const std::string& name) {
    if (const auto found = given.find(name); found != given.end()) return found->second;
    for (const Option& option : declared) {
      if (option.name == name) return option.default_value;
    }
    return std::string();
  };
  for (const Option& option : declared) {
    const bool idle = !option.needs.is_met(text(option.needs.option));
    const bool by_a_flag = by_flag.contains(option.needs.option) || by_flag.contains("prune");
    if (idle && by_a_flag && !by_flag.contains(option.name)) given.erase(option.name);
  }
  return given;
}

// What must have an effect: flags, and keys of the file that no flag made idle.
std::map<std::string, std::string> in_vain(std::map<std::string, std::string> given,
                                           const std::map<std::string, std::string>& by_flag) {
  for (const Need& need : train_needs()) {
    const bool by_a_flag = by_flag.contains(need.needs.option);
    if (by_a_flag && !by_flag.contains(need.option)) given.erase(need.option);
  }
  return given;
}

void train(TrainFlags& flags, Console& console) {
  const std::map<std::string, std::string> by_flag = flags.given.given();
  if (!flags.config.empty()) flags.given.read_config(flags.config);
  const std::vector<Option> own = train_options();
  const OptionValues values("train", own, flags.given.given_of(own));
  std::set<std::string> names;
  for (const auto& [name, text] : flags.given.given()) names.insert(name);
  const TrainRequest request{
      .values = values,
      .given = std::move(names),
      .method = chosen_method(
          values.text("prune"),
          without_idle(flags.given.given_of(pruning_options()), by_flag, values.text("prune")))};
  check_needs("train", train_needs(), in_vain(flags.given.given(), by_flag), request.values);
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
  flags->given.declare(verb, model_options(), "Network");
  flags->given.declare(verb, data_options(), "Data");
  flags->given.declare(verb, training_options(), "Training");
  flags->given.declare(verb, run_options(), "Run");
  flags->given.declare(verb, normalization_options(), "Weights from elsewhere");
  flags->given.declare(verb, machine_options(), "Machine");
  flags->given.declare(verb, kernel_options(), "Kernels");
  flags->given.declare(verb, pruning_options(), "Pruning methods (with --prune)");
  verb.add_option("--config", flags->config, "TOML file with the same names as keys; flags win.")
      .type_name("FILE");
  verb.add_flag("--json", flags->json, "Print the results as JSON.");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { train(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
