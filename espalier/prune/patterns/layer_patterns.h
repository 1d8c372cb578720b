// SPDX-License-Identifier: Apache-2.0
/// LayerPatterns: the pattern of every layer, one for all and others for layers by name.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <espalier/prune/ground/by_layer.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {

/// Which pattern each weight is pruned with. Single weights, blocks and N:M stand beside each
/// other; `channel` is of the whole network, as channels go with what is tied to them.
class LayerPatterns {
 public:
  /// `unstructured` everywhere.
  LayerPatterns();
  /// The same everywhere. Not explicit: most prune with one.
  LayerPatterns(std::shared_ptr<const Pattern> common);  // NOLINT(google-explicit-constructor)
  /// `exceptions` as in `--layer-pattern`: `NAME=PATTERN,NAME=PATTERN,..`, of several that name a
  /// weight the last. Throws ValueError with the layer and the patterns that exist.
  LayerPatterns(std::shared_ptr<const Pattern> common, const std::string& exceptions);

  /// Of the layers that are not named.
  const Pattern& common() const { return *common_; }
  /// Of a weight.
  const Pattern& of(const std::string& weight) const;
  /// Of the named layers, as typed.
  const std::vector<LayerSetting>& exceptions() const { return exceptions_; }
  /// The common one and those of all exceptions.
  std::vector<const Pattern*> all() const;
  /// Units are channels of the network.
  bool coupled() const { return common_->coupled(); }
  /// Whether any has cells, which fix what stays.
  bool any_cells() const;
  /// Whether all have: then no sparsity is left to choose.
  bool all_cells() const;
  /// `2:4, conv3=1:4`.
  std::string name() const;

 private:
  std::shared_ptr<const Pattern> common_;
  std::vector<LayerSetting> exceptions_;
  std::vector<std::shared_ptr<const Pattern>> patterns_;  // as exceptions_
};

}  // namespace espalier::prune
