// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/verbs/train_request.h>

#include <algorithm>

#include <espalier/experiments/settings/method_options.h>
#include <espalier/experiments/settings/train_settings.h>

namespace espalier::experiments::verbs {
namespace {

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

// Those of the texts that `options` declares.
OptionTexts only(const OptionTexts& texts, const std::vector<Option>& options) {
  OptionTexts out;
  for (const Option& option : options) {
    if (const auto text = texts.find(option.name); text != texts.end()) out.insert(*text);
  }
  return out;
}

}  // namespace

void declare_training(const Verb& verb, GivenOptions& given) {
  given.declare(verb, network_table().options(), "Network and data");
  given.declare(verb, data_table().options(), "Network and data");
  given.declare(verb, test_size_table().options(), "Network and data");
  given.declare(verb, training_table().options(), "Training");
  given.declare(verb, run_table().options(), "Run");
  given.declare(verb, normalization_table().options(), "Run");
  given.declare(verb, machine_table().options(), "Machine");
  given.declare(verb, kernel_table().options(), "Machine");
  given.declare(verb, prune::prune_settings().options(), "Pruning, with any method");
  given.declare(verb, options_of_any_method(), "");
}

TrainRequest training_request(const OptionTexts& given, const OptionTexts& by_flag) {
  const std::vector<Option>& own = train_table().options();
  TrainRequest request{
      .settings = train_table().read("train", without_idle(only(given, own), own, by_flag))};
  for (const auto& [name, text] : given) request.given.insert(name);
  const std::string& method = request.settings.run.prune;
  OptionTexts of_method = only(given, options_of_any_method());
  if (!method.empty()) {
    of_method = without_idle(std::move(of_method), method_options(method), by_flag);
  }
  request.method = chosen_method(method, of_method);
  return request;
}

}  // namespace espalier::experiments::verbs
