// SPDX-License-Identifier: Apache-2.0
/// Site: a place where units are pruned: one weight, or the channels of a channel group with all
/// their slices. Scores of weights become scores of units here, and choices of units become masks.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <espalier/nn/module/module.h>
#include <espalier/prune/patterns/layer_patterns.h>
#include <espalier/prune/structure/channel_group.h>

namespace espalier::prune {

/// How the scores of a unit's weights become the unit's score.
enum class Reduce : uint8_t { Sum, Mean, Max };

/// One parameter's share in a site.
struct SitePart {
  std::string name;                    ///< of the parameter
  nn::Parameter* parameter = nullptr;  ///< in the model
  Units units;                         ///< how its weights make units
  bool scored = true;  ///< its weights' scores count; the others only follow the choice
  /// What the part does with a channel; of a single weight's site: Producer.
  SliceRole role = SliceRole::Producer;
  int dim = 0;  ///< of a channel group's site: the dimension whose indices tell the channel
};

/// Units that compete with each other for a layer's budget.
struct Site {
  std::string name;             ///< of the first part
  Shape shape;                  ///< of the first part: what allocations like ERK look at
  int64_t units = 0;            ///< that compete
  UnitCell cell = {};           ///< of patterns that keep the same number in each cell
  std::vector<SitePart> parts;  ///< all parameters that a choice cuts
  /// Units compete with those of their own run of so many consecutive ones only, each run losing
  /// the same number; 0: with all. Without a meaning where there are cells.
  int64_t run = 0;
  /// Units of several weights: none may be all that makes an output of the network.
  bool structured = false;
  /// By output of the network (a class) that the weight makes, the units with weights of it;
  /// outputs that share all of them come once. One of each stays. Filled in by `keep_outputs`.
  std::vector<std::vector<int32_t>> outputs = {};

  /// Weights of every unit that count as prunable (rank >= 2), over all parts. Of channels these
  /// overlap between sites: see channel_weights.h.
  std::vector<int64_t> unit_weights() const;
  /// 1 for units of which any scored weight is still there.
  std::vector<uint8_t> alive() const;
  /// What its parts do with a unit, and what they are, in their order, without any size: alike for
  /// sites that are the same structure at other widths.
  std::string kind() const;
};

/// Weights of convolutions, linear layers and attention projections in order of declaration, as
/// `nn::is_prunable_weight` says. First and last layer included; no bias, no batch norm, no
/// embedding; a weight that two layers share comes once. `exclude`: names to leave out, whole or a
/// prefix up to a dot (`layer1` takes `layer1.0.conv1.weight`). Throws ValueError for an excluded
/// name that fits no parameter, and when nothing is left.
std::vector<nn::NamedParameter> prunable_weights(nn::Module& model,
                                                 const std::vector<std::string>& exclude = {});

/// Those weights that can have their pattern; the others are noted by name. Throws ValueError when
/// none can.
std::vector<nn::NamedParameter> fitting_weights(const std::vector<nn::NamedParameter>& weights,
                                                const LayerPatterns& patterns,
                                                std::vector<std::string>& notes);

/// A site per weight; weights that can't have their pattern are left out and noted by name.
std::vector<Site> weight_sites(const std::vector<nn::NamedParameter>& weights,
                               const LayerPatterns& patterns,
                               std::vector<std::string>& notes);

/// A site per channel group: producers' weights are scored, all slices follow. Frozen groups and
/// groups of excluded producers are left out and noted; so are those with more than one producing
/// layer when `single_producer_only` (residual sums).
std::vector<Site> channel_sites(nn::Module& model,
                                const std::vector<ChannelGroup>& groups,
                                const std::vector<nn::NamedParameter>& weights,
                                bool single_producer_only,
                                std::vector<std::string>& notes);

/// The score of every unit of a site from the float64 scores of its scored parts (in their order).
/// A sum over a smaller unit, as the last block of a weight may be, counts as of a whole one.
std::vector<double> unit_scores(const Site& site,
                                std::span<const Tensor> part_scores,
                                Reduce reduce);
/// The same for all sites, from the scores of `weights` in their order.
std::vector<std::vector<double>> unit_scores(std::span<const Site> sites,
                                             std::span<const nn::NamedParameter> weights,
                                             std::span<const Tensor> weight_scores,
                                             Reduce reduce);

}  // namespace espalier::prune
