// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/needs.h>

#include <algorithm>

#include <espalier/core/error.h>

namespace espalier::experiments {

bool is_met(const Need& need, const std::string& text) {
  if (need.values.empty()) return !text.empty();
  return std::find(need.values.begin(), need.values.end(), text) != need.values.end();
}

const std::vector<Need>& train_needs() {
  static const std::vector<Need> list = {
      {"momentum", "optimizer", {"sgd"}},
      {"nesterov", "optimizer", {"sgd"}},
      {"milestones", "schedule", {"multistep"}},
      {"step-every", "schedule", {"step"}},
      {"gamma", "schedule", {"step", "multistep"}},
      {"quantize-freeze", "quantize", {"int8"}},
      {"distill-temperature", "distill-from", {}},
      {"distill-weight", "distill-from", {}},
      {"scoring-input", "prune", {}},
      {"kernel-times", "kernels", {"measured"}},
  };
  return list;
}

void check_needs(const std::string& verb,
                 const std::vector<Need>& needs,
                 const std::map<std::string, std::string>& given,
                 const prune::OptionValues& values) {
  for (const Need& need : needs) {
    const auto found = given.find(need.option);
    if (found == given.end() || found->second == "false") continue;
    const std::string& has = values.text(need.other);
    std::string wanted;
    for (const std::string& value : need.values) {
      wanted += (wanted.empty() ? " " : " or ") + value;
    }
    ESPALIER_CHECK(is_met(need, has),
                   ValueError,
                   verb,
                   ": --",
                   need.option,
                   " needs --",
                   need.other,
                   wanted,
                   has.empty() ? ", which is not given" : ", got " + has);
  }
}

}  // namespace espalier::experiments
