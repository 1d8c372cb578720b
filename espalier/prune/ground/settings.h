// SPDX-License-Identifier: Apache-2.0
/// What the user asks of any pruning method, and the table that its flags come from.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <espalier/core/options/table.h>
#include <espalier/prune/ground/sparsity.h>

namespace espalier::prune {

/// Sanity checks of a method (arXiv 2009.08576, 2009.11094), applied after every mask update.
enum class Ablation : uint8_t {
  None,
  /// The mask's units are permuted inside each layer, and those that a dynamic method moves are
  /// drawn at random: only the layer densities remain.
  Shuffle,
  Invert,  ///< the highest scores are removed instead of the lowest
  Reinit,  ///< after the last update the model starts again from fresh initial weights, masks kept
};

/// What the user asks of any method.
struct PruneSettings {
  /// Final, over the prunable weights. Nothing: what the pattern implies, else 0.9.
  std::optional<Sparsity> sparsity = {};
  /// Instead of a sparsity, a share of another budget: `macs=0.5` (budgets/budget.h).
  std::string target = "";
  int64_t latency_batch = 64;  ///< samples at once of a target of latency
  /// Sparsities of layers by name, `NAME=S,NAME=S,..`; the others get the common one.
  std::string layer_sparsity = "";
  Sparsity max_layer_sparsity = Sparsity(1.0);  ///< no layer loses more of its units
  int64_t round_channels_to = 1;                ///< layers keep multiples of so many channels
  std::string pattern = "";                     ///< empty: the method's default
  /// Patterns of layers by name, `NAME=PATTERN,NAME=PATTERN,..`; the others get the common one.
  std::string layer_pattern = "";
  std::vector<std::string> exclude = {};  ///< parameter names, or prefixes of them up to a dot
  /// Units (weights, blocks, filters) that every layer keeps at least.
  int64_t min_per_layer = 0;
  bool allow_collapse = false;         ///< train on though the masks cut the network
  Ablation ablation = Ablation::None;  ///< a sanity check instead of the method
  OptionTexts options = {};            ///< the method's own hyper-parameters

  /// `sparsity`, which a pruner has settled. Throws ValueError when it is not.
  Sparsity final() const;
};

/// The settings that every method has, as options: `sparsity`, `target`, `latency-batch`,
/// `layer-sparsity`, `max-layer-sparsity`, `round-channels-to`, `pattern`,
/// `layer-pattern`, `exclude`, `min-per-layer`, `allow-collapse`, `ablation`.
const OptionTable<PruneSettings>& prune_settings();

}  // namespace espalier::prune
