// SPDX-License-Identifier: Apache-2.0
/// `espalier models`: the model zoo as a table, or one network layer by layer.
#include <memory>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/inputs/networks.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/nn/models/to_count.h>

namespace espalier::experiments::verbs {
namespace {

using Json = nlohmann::ordered_json;

struct ModelsFlags {
  GivenOptions given;
  std::string name;
  bool json = false;
};

/// How networks are built to be counted.
struct Built {
  double width = 1.0;
  nn::Shortcut shortcut = nn::Shortcut::A;
  UnfedSettings unfed = {};
  int64_t classes = 10;
};

const OptionTable<Built>& built_table() {
  using S = Built;
  static const OptionTable<S> table = OptionTable<S>{
      {&S::width, "width", {0.01, 64}, "", "multiplies hidden channels, where there is a choice"},
      {&S::shortcut, "shortcut", {"A", "B"}, "of CIFAR ResNets"},
      {&S::classes,
       "classes",
       {1, 1e6},
       "",
       "outputs; of gpt the vocabulary"}}.include(&S::unfed, unfed_table());
  return table;
}

Network build(const std::string& model, const Built& built, const OptionTexts& given) {
  Network network;
  network.name = nn::canonical_model_name(model);
  network.options.num_classes = built.classes;
  network.options.width = built.width;
  network.options.shortcut = built.shortcut;
  network.options.stem = built.unfed.stem;
  const bool whole = built.unfed.stem == nn::Stem::ImageNet && !given.contains("image-size");
  const int64_t side = whole ? 224 : built.unfed.image_size;
  if (side > 0) network.options.image.height = network.options.image.width = side;
  check_choices(network);
  network.module = nn::make_model_to_count(network.name, network.options);
  return network;
}

// In the plain layout, where one sample is not computed sixteen times.
nn::ModelCount count(Network& network) {
  return nn::count_model(*network.module, nn::example_input(network.name, network.options));
}

std::vector<std::string> options_of(const std::string& model) {
  std::vector<std::string> out;
  if (nn::model_has_widths(model)) out.emplace_back("width");
  if (nn::model_has_shortcuts(model)) out.emplace_back("shortcut");
  if (nn::model_has_stems(model)) out.emplace_back("stem");
  if (nn::model_input(model) == nn::InputKind::Tokens) out.emplace_back("context");
  return out;
}

Json model_json(const nn::ModelInfo& info, const Network& network, const nn::ModelCount& count) {
  return {{"name", network.name},
          {"title", info.title},
          {"input", sizes_of(network.sample())},
          {"classes", network.options.num_classes},
          {"params", count.total.params},
          {"macs", count.total.macs_dense},
          {"options", options_of(network.name)}};
}

std::string input_text(const Json& model) {
  std::string out;
  for (const Json& size : model.at("input")) out += (out.empty() ? "" : "x") + size.dump();
  return out;
}

std::string words(const Json& list) {
  std::string out;
  for (const Json& word : list) out += (out.empty() ? "" : ", ") + word.get<std::string>();
  return out.empty() ? "-" : out;
}

void list(const ModelsFlags& flags, const Built& built, Console& console) {
  ESPALIER_CHECK(!flags.given.find("width") && !flags.given.find("shortcut"),
                 ValueError,
                 "models: --width and --shortcut are of one network; name it");
  Json all = Json::array();
  std::vector<std::vector<std::string>> rows = {
      {"name", "input", "parameters", "MACs", "options", "title"}};
  for (const nn::ModelInfo& info : nn::model_list()) {
    Built of_this = built;
    if (!info.stems) of_this.unfed.stem = nn::Stem::Small;
    Network network = build(info.name, of_this, flags.given.given());
    const Json json = model_json(info, network, count(network));
    rows.push_back({info.name,
                    input_text(json),
                    short_count(json.at("params").get<double>()),
                    short_count(json.at("macs").get<double>()),
                    words(json.at("options")),
                    info.title});
    all.push_back(json);
  }
  if (flags.json) {
    console.out << all.dump(2) << '\n';
    return;
  }
  console.out
      << text_table(rows)
      << "\nMACs of one sample. Besides these wrn-D-K and densenet-bc-L-K, of every depth that "
         "fits their blocks.\n";
}

void explain(const ModelsFlags& flags, const Built& built, Console& console) {
  Network network = build(flags.name, built, flags.given.given());
  nn::ModelInfo info;
  for (const nn::ModelInfo& one : nn::model_list()) {
    if (one.name == network.name) info = one;
  }
  const nn::ModelCount counted = count(network);
  Json json = model_json(info, network, counted);
  json["layers"] = Json::array();
  std::vector<std::vector<std::string>> rows = {{"layer", "kind", "parameters", "MACs"}};
  for (const nn::LayerCount& layer : counted.layers) {
    json["layers"].push_back({{"name", layer.name},
                              {"kind", layer.kind},
                              {"params", layer.params},
                              {"macs", layer.macs_dense}});
    rows.push_back({layer.name, layer.kind, grouped(layer.params), grouped(layer.macs_dense)});
  }
  if (flags.json) {
    console.out << json.dump(2) << '\n';
    return;
  }
  console.out << fmt::format(
      "{}{}{}\ninput       {}\nclasses     {}\nparameters  {}\nMACs        {} of one "
      "sample\noptions     "
      "{}\n\n{}",
      network.name,
      info.title.empty() ? "" : ": ",
      info.title,
      input_text(json),
      network.options.num_classes,
      grouped(counted.total.params),
      short_count(static_cast<double>(counted.total.macs_dense)),
      words(json.at("options")),
      text_table(rows));
}

void models(const ModelsFlags& flags, Console& console) {
  const Built built = built_table().read("models", flags.given.given());
  flags.name.empty() ? list(flags, built, console) : explain(flags, built, console);
}

}  // namespace

void add_models(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "models", "The networks as a table with parameters and MACs, or one layer by layer.");
  const auto flags = std::make_shared<ModelsFlags>();
  verb.add_option("name", flags->name, "explain this one");
  verb.add_flag("--json", flags->json, "print as JSON");
  flags->given.declare(verb, built_table().options(), "How they are built");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { models(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
