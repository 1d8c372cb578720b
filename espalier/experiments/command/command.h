// SPDX-License-Identifier: Apache-2.0
/// The `espalier` command: verbs, their flags, exit codes. Each verb is a file in verbs/.
#pragma once

#include <string>
#include <vector>

#include <espalier/experiments/console.h>

namespace espalier::experiments {

/// Runs the command with `arguments` (without the program's name). Returns the exit code: 0 done, 1
/// failed while running, 2 bad use or a bad input file, 130 stopped by SIGINT or SIGTERM. Never
/// throws.
int run_command(const std::vector<std::string>& arguments, Console& console);

}  // namespace espalier::experiments
