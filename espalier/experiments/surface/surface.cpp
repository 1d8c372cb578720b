// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/surface/surface.h>

#include <CLI/CLI.hpp>

#include <espalier/data/dataset.h>
#include <espalier/experiments/settings/help.h>
#include <espalier/nn/models/registry.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments {
namespace {

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(at, begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

template <class List>
std::vector<std::string> names_of(const List& list) {
  std::vector<std::string> out;
  for (const auto& one : list) out.push_back(one.name);
  return out;
}

// Of the names that registries know, and of choices as the help shows them.
std::vector<std::string> choices_of(const std::string& verb,
                                    const std::string& option,
                                    const std::string& value,
                                    const std::string& help) {
  if (option == "model" || (verb == "models" && option == "name")) {
    return names_of(nn::model_list());
  }
  const bool method = option == "method" || (verb == "methods" && option == "name");
  if (method || option == "prune") return names_of(prune::methods());
  if (option == "data") return names_of(data::known_datasets());
  if (value.find('|') != std::string::npos) return split(value, '|');
  const size_t listed = help.find(kOneOf);
  if (listed == std::string::npos) return {};
  std::string words = help.substr(listed + kOneOf.size());
  words.resize(std::min(words.find_first_of("(["), words.size()));
  std::erase(words, ' ');
  return split(words, ',');
}

SurfaceOption option_of(const CLI::App& verb, const CLI::Option& option) {
  const CLI::FormatterBase& format = *verb.get_formatter();
  const auto* formatter = dynamic_cast<const CLI::Formatter*>(&format);
  SurfaceOption out;
  out.place = option.get_positional();
  out.names =
      formatter == nullptr ? option.get_name() : formatter->make_option_name(&option, out.place);
  for (const std::string& name : option.get_snames()) out.words.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) out.words.push_back("--" + name);
  const std::string& told = option.get_option_text();
  out.value = !told.empty() ? told : option.get_expected_max() > 0 ? option.get_type_name() : "";
  out.help = option.get_description();
  out.group = option.get_group();
  const std::string name =
      option.get_lnames().empty() ? option.get_name() : option.get_lnames().front();
  out.choices = choices_of(verb.get_name(), name, out.value, out.help);
  return out;
}

SurfaceVerb verb_of(const CLI::App& app, const std::string& above) {
  SurfaceVerb out;
  out.name = above + app.get_name();
  out.help = app.get_description();
  for (const CLI::Option* option : app.get_options())
    out.options.push_back(option_of(app, *option));
  const std::string prefix = app.get_parent() == nullptr ? "" : out.name + " ";
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    out.verbs.push_back(verb_of(*verb, prefix));
  }
  return out;
}

}  // namespace

SurfaceVerb surface_of(const Verb& verb) {
  const CLI::App* top = &verb.app();
  while (top->get_parent() != nullptr) top = top->get_parent();
  return verb_of(*top, "");
}

}  // namespace espalier::experiments
