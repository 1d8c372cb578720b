// SPDX-License-Identifier: Apache-2.0
/// The options of pruning methods as the command takes them.
#pragma once

#include <string>
#include <vector>

#include <espalier/core/options/option.h>

namespace espalier::experiments {

/// Each option that some registered method or all of them have, once, by name: what a command line
/// may hold before its method is known.
std::vector<Option> options_of_any_method();
/// Those that one method takes: the common ones and its own. Throws ValueError for an unknown name.
std::vector<Option> method_options(const std::string& method);

/// The end of a verb's help: the own options of the method that was named beside `--help`; of none,
/// how to see them, with `verb` as typed: `train --prune`.
std::string method_help(const std::string& verb, const std::string& method);

}  // namespace espalier::experiments
