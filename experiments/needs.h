// SPDX-License-Identifier: Apache-2.0
/// Options that do something only beside another one: giving one in vain is an error.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <espalier/prune/options.h>

namespace espalier::experiments {

/// An option and what it needs to have an effect.
struct Need {
  std::string option;               ///< without the dashes
  std::string other;                ///< the choice or text that it needs
  std::vector<std::string> values;  ///< those of `other` that do; empty: any text
};

/// True if `text`, the value of `need.other`, lets the option have an effect.
bool is_met(const Need& need, const std::string& text);

/// Those of `train`, for its flags and for the command that a report prints.
const std::vector<Need>& train_needs();

/// Throws ValueError for the first option of `given` whose need `values` doesn't meet, naming both.
/// A flag that is turned off needs nothing. `given` should hold flags alone: a configuration file
/// may set what a flag then makes idle.
void check_needs(const std::string& verb,
                 const std::vector<Need>& needs,
                 const std::map<std::string, std::string>& given,
                 const prune::OptionValues& values);

}  // namespace espalier::experiments
