// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/needs.h>

#include <algorithm>

#include <espalier/core/error.h>

namespace espalier::experiments {

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
    const bool met = need.values.empty() ? !has.empty()
                                         : std::find(need.values.begin(), need.values.end(), has) !=
                                               need.values.end();
    ESPALIER_CHECK(met,
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
