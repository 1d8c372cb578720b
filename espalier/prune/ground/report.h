// SPDX-License-Identifier: Apache-2.0
/// What a mask update did, layer by layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <espalier/prune/ground/sparsity.h>

namespace espalier::prune {

/// One layer after a mask update.
struct LayerReport {
  std::string name;     ///< of the weight
  int64_t total = 0;    ///< weights of the layer
  int64_t kept = 0;     ///< of these, kept
  int64_t changed = 0;  ///< mask entries that differ from before the update
  /// Removed fraction of the layer.
  Sparsity sparsity() const;
};

/// One mask update.
struct UpdateReport {
  int64_t step = 0;                      ///< at which it was made
  Sparsity target = Sparsity(0.0);       ///< what the schedule asked for
  std::vector<LayerReport> layers = {};  ///< in the order of the weights
  /// What a user must know: layers left dense and why, collapse, idle layers, and of the last
  /// update a target that was missed.
  std::vector<std::string> notes = {};
  /// Of SparsityOf::Budget: `macs`, ..; else empty.
  std::string budget = {};
  /// What `target` is a fraction of.
  SparsityOf target_of = SparsityOf::Nothing;
  Sparsity reached = Sparsity(0.0);  ///< of the same; 0 of nothing
  /// Prunable weights.
  int64_t total() const;
  /// Of these, kept.
  int64_t kept() const;
  /// Reached, over the prunable weights.
  Sparsity sparsity() const;
};

/// Adds a note unless it is there: layers pruned one after another say the same of what they share.
void add_note(std::vector<std::string>& notes, const std::string& note);

}  // namespace espalier::prune
