// SPDX-License-Identifier: Apache-2.0
/// All verbs of the command with their options, as they were declared: completions and the man page
/// are made from it, as the help is.
#pragma once

#include <string>
#include <vector>

#include <espalier/experiments/settings/verb.h>

namespace espalier::experiments {

/// One option or place of a verb.
struct SurfaceOption {
  std::string names;                    ///< as the help has them: `--lr`, `--[no-]nesterov`
  std::vector<std::string> words = {};  ///< what may be typed: `--nesterov`, `--no-nesterov`
  std::string value = {};               ///< `REAL`, `sgd|adam|adamw`, `FILE`; empty: a flag
  std::string help = {};
  std::string group = {};                 ///< its section in the help; empty: not shown there
  std::vector<std::string> choices = {};  ///< known values; empty: any, a file perhaps
  bool place = false;                     ///< a value without a name before it
};

/// A verb and what is below it.
struct SurfaceVerb {
  std::string name;  ///< as typed: `data fetch`; of the command itself `espalier`
  std::string help;
  std::vector<SurfaceOption> options;
  std::vector<SurfaceVerb> verbs;
};

/// What the command has that `verb` belongs to.
SurfaceVerb surface_of(const Verb& verb);

/// A completion script for `bash`, `zsh` or `fish`. Throws ValueError for another shell.
std::string completion_script(const SurfaceVerb& command, const std::string& shell);

/// The manual page espalier(1), in roff.
std::string man_page(const SurfaceVerb& command, const std::string& version);

}  // namespace espalier::experiments
