// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/settings/needs.h>

#include <espalier/core/error.h>

namespace espalier::experiments {

const std::vector<Need>& train_needs() {
  static const std::vector<Need> list = {
      {"momentum", {"optimizer", {"sgd"}}},
      {"nesterov", {"optimizer", {"sgd"}}},
      {"milestones", {"schedule", {"multistep"}}},
      {"step-every", {"schedule", {"step"}}},
      {"gamma", {"schedule", {"step", "multistep"}}},
      {"quantize-freeze", {"quantize", {"int8"}}},
      {"distill-temperature", {"distill-from", {""}, true}},
      {"distill-weight", {"distill-from", {""}, true}},
      {"scoring-input", {"prune", {""}, true}},
      {"masks-from-zeros", {"weights", {""}, true}},
      {"kernel-times", {"kernels", {"measured"}}},
  };
  return list;
}

void check_needs(const std::string& verb,
                 const std::vector<Need>& needs,
                 const std::map<std::string, std::string>& given,
                 const OptionValues& values) {
  for (const Need& need : needs) {
    const auto found = given.find(need.option);
    if (found == given.end() || found->second == "false") continue;
    const std::string& has = values.text(need.needs.option);
    std::string wanted;
    for (const std::string& value : need.needs.values) {
      if (!value.empty()) wanted += (wanted.empty() ? " " : " or ") + value;
    }
    ESPALIER_CHECK(need.needs.is_met(has),
                   ValueError,
                   verb,
                   ": --",
                   need.option,
                   " needs --",
                   need.needs.option,
                   wanted,
                   has.empty() ? ", which is not given" : ", got " + has);
  }
}

}  // namespace espalier::experiments
