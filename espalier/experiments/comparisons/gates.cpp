// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/comparisons/gates.h>

#include <algorithm>
#include <cmath>

#include <espalier/prune/drive/registry.h>

namespace espalier::experiments::comparisons {
namespace {

constexpr int kParts = 4;

bool has_option(const prune::Method& method, const std::string& name) {
  return std::ranges::find(method.options, name, &Option::name) != method.options.end();
}

}  // namespace

double sparsity_for_share(const std::string& method, double share) {
  if (has_option(prune::method(method), "parts")) {
    return (1.0 - share) / (1.0 - 1.0 / static_cast<double>(kParts));
  }
  return 1.0 - std::sqrt(share);
}

std::map<std::string, std::string> gate_options(const std::string& method) {
  return options_of(method, {{"parts", std::to_string(kParts)}, {"threshold-start", "target"}});
}

std::map<std::string, std::string> options_of(const std::string& method,
                                              const std::map<std::string, std::string>& options) {
  std::map<std::string, std::string> out;
  for (const auto& one : options) {
    if (has_option(prune::method(method), one.first)) out.insert(one);
  }
  return out;
}

}  // namespace espalier::experiments::comparisons
