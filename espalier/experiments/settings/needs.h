// SPDX-License-Identifier: Apache-2.0
/// Options of verbs that do something only beside another one: giving one in vain is an error.
/// Those of pruning methods declare theirs in `Option::needs`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <espalier/experiments/settings/option_values.h>

namespace espalier::experiments {

/// An option, without the dashes, and what it needs to have an effect.
struct Need {
  std::string option;
  OptionNeed needs;
};

/// Those of `train`, for its flags and for the command that a report prints.
const std::vector<Need>& train_needs();

/// Throws ValueError for the first option of `given` whose need `values` doesn't meet, naming both.
/// A flag that is turned off needs nothing. `given` should hold flags alone: a configuration file
/// may set what a flag then makes idle.
void check_needs(const std::string& verb,
                 const std::vector<Need>& needs,
                 const std::map<std::string, std::string>& given,
                 const OptionValues& values);

}  // namespace espalier::experiments
