// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/settings/method_options.h>

#include <algorithm>

#include <espalier/core/error.h>
#include <espalier/experiments/settings/help.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments {

std::vector<Option> options_of_any_method() {
  std::vector<Option> out = prune::prune_settings().options();
  for (const prune::Method& method : prune::methods()) {
    for (const Option& option : method.options) {
      if (std::ranges::find(out, option.name, &Option::name) == out.end()) out.push_back(option);
    }
  }
  return out;
}

std::vector<Option> method_options(const std::string& method) {
  std::vector<Option> out = prune::prune_settings().options();
  const std::vector<Option>& own = prune::method(method).options;
  out.insert(out.end(), own.begin(), own.end());
  return out;
}

std::string method_help(const std::string& verb, const std::string& method) {
  if (method.empty()) {
    return cat("\nA method's own options: espalier ",
               verb,
               " NAME --help. Its idea: espalier methods NAME\n");
  }
  return "\n" + help_section("Pruning with " + method, prune::method(method).options);
}

}  // namespace espalier::experiments
