// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/comparisons/gates.h>

#include <cmath>

namespace espalier::experiments::comparisons {
namespace {

constexpr int kParts = 4;  // of CGNet

}  // namespace

double sparsity_for_share(const std::string& method, double share) {
  if (method == "cgnet") return (1.0 - share) / (1.0 - 1.0 / static_cast<double>(kParts));
  return 1.0 - std::sqrt(share);
}

std::map<std::string, std::string> gate_options(const std::string& method) {
  if (method != "cgnet") return {};
  return {{"parts", std::to_string(kParts)}, {"threshold-start", "target"}};
}

}  // namespace espalier::experiments::comparisons
