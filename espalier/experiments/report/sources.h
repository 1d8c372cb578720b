// SPDX-License-Identifier: Apache-2.0
/// Which run the weights or the masks of another one come from.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace espalier::experiments::report {

/// What is known of where a run started.
struct RunSources {
  /// Of the settings `weights` and `mask-from` that name a file: method and sparsity of the run
  /// that wrote it, and its network and data where they are others: `snip 0.9`, `dense synth`.
  /// Weights of a dense run of the same kind, and of a file that no run wrote, are `trained`; such
  /// masks, `given`.
  std::map<std::string, std::string> words;
  double sparsity_of_masks = 0.0;  ///< asked for by the run that `mask-from` names; 0: not known
};

/// Reads the run.json beside the files that `settings` name: where they say, or beside `folder`,
/// when all runs were moved together.
RunSources sources_of(const std::filesystem::path& folder, const nlohmann::ordered_json& settings);

}  // namespace espalier::experiments::report
