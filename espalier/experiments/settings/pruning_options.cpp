// SPDX-License-Identifier: Apache-2.0
// The options of all pruning methods as one list for help: what several methods declare is one
// entry.
#include <algorithm>

#include <espalier/experiments/settings/options.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments {
namespace {

// More would be longer than what they say.
constexpr size_t kMostNamed = 4;

// What the methods `owners` say of an option that they share.
struct Wording {
  std::string help;
  std::vector<std::string> owners;
};

struct Shared {
  Option option;
  std::vector<Wording> wordings;
  bool same_choices = true;
};

char capital(char letter) {
  return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
}

std::string named(const std::vector<std::string>& owners) {
  if (owners.size() > kMostNamed) return std::to_string(owners.size()) + " methods";
  std::string out;
  for (const std::string& owner : owners) out += (out.empty() ? "" : ", ") + owner;
  return out;
}

void take_wording(std::vector<Wording>& wordings,
                  const std::string& help,
                  const std::string& owner) {
  const auto found = std::find_if(
      wordings.begin(), wordings.end(), [&](const Wording& one) { return one.help == help; });
  if (found == wordings.end()) {
    wordings.push_back({help, {owner}});
  } else {
    found->owners.push_back(owner);
  }
}

bool same_set(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

void merge(Shared& shared, const Option& other) {
  Option& option = shared.option;
  if (!same_set(option.choices, other.choices)) shared.same_choices = false;
  for (const std::string& choice : other.choices) {
    if (std::find(option.choices.begin(), option.choices.end(), choice) == option.choices.end()) {
      option.choices.push_back(choice);
    }
  }
  if (option.default_value != other.default_value) {
    option.default_value = "the method's own, see `espalier methods NAME`";
  }
  if (option.unit.empty()) option.unit = other.unit;
}

std::string help_of(const std::vector<Wording>& wordings) {
  std::string out;
  for (const Wording& one : wordings) {
    out += (out.empty() ? "Of " : " Of ") + named(one.owners) + ": " + one.help;
    if (!out.ends_with('.')) out += '.';
  }
  return out;
}

}  // namespace

std::vector<Option> pruning_options() {
  std::vector<Shared> all;
  for (const prune::Method& method : prune::methods()) {
    for (const Option& option : method.options) {
      auto found = std::find_if(all.begin(), all.end(), [&](const Shared& one) {
        return one.option.name == option.name;
      });
      if (found == all.end()) {
        found = all.insert(all.end(), {.option = option, .wordings = {}});
      } else {
        merge(*found, option);
      }
      take_wording(found->wordings, option.help, method.name);
    }
  }
  std::vector<Option> out = prune::prune_settings().options();
  // Sentences here, in a row with others; parts of one in the page of a method.
  for (Option& option : out) option.help.front() = capital(option.help.front());
  for (Shared& one : all) {
    one.option.help = help_of(one.wordings);
    if (!one.same_choices) one.option.help += " Not every method has each choice.";
    out.push_back(std::move(one.option));
  }
  return out;
}

std::vector<Option> method_options(const std::string& method) {
  std::vector<Option> out = prune::prune_settings().options();
  const std::vector<Option>& own = prune::method(method).options;
  out.insert(out.end(), own.begin(), own.end());
  return out;
}

}  // namespace espalier::experiments
