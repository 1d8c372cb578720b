// SPDX-License-Identifier: Apache-2.0
/// Allocation: how many units each layer keeps, for a sparsity of the whole. Which ones is decided
/// inside each layer afterwards, by score; a global threshold is the allocation that lets all
/// compete.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <espalier/core/shape.h>
#include <espalier/prune/ground/select.h>

namespace espalier::prune {

class ChannelWeights;

/// A layer as an allocation sees it.
struct SiteScores {
  std::string name;                  ///< of the site
  Shape shape;                       ///< of the weight
  int64_t units = 0;                 ///< units that compete there
  std::span<const double> scores;    ///< of every unit; higher stays
  std::span<const uint8_t> alive;    ///< 1 for units that are there
  std::span<const int64_t> weights;  ///< prunable weights of every unit
  /// Units that must stay; a budget that is shared takes them off the other layers.
  int64_t at_least = 0;
  /// 1 for units that are the first of these; empty: those with the highest scores are.
  std::span<const uint8_t> first = {};
  int64_t places = 0;  ///< of updates that grow: removed units that may
  /// Of updates that grow: mean growth score of the units that were there before the update.
  double merit = 0.0;
  std::string kind = {};  ///< as Site::kind
};

/// Divides a budget.
class Allocation {
 public:
  virtual ~Allocation() = default;
  /// `global`, `uniform`, `erk`, ..: equal for allocations that divide a budget alike.
  virtual std::string name() const = 0;
  /// What the target is a fraction of, where channels are pruned or (else) weights of one layer.
  virtual SparsityOf sparsity_of(bool channels) const {
    return channels ? SparsityOf::Nothing : SparsityOf::Weights;
  }
  /// False when sizes alone decide, so that the numbers are known beforehand.
  virtual bool looks_at_scores() const { return false; }
  /// False when scores alone decide how much goes, whatever the target is.
  virtual bool heeds_target() const { return true; }
  /// The highest sparsity that it can divide among layers of these names and shapes: where a
  /// budget's search begins.
  virtual Sparsity most(std::span<const SiteScores> /*layers*/) const { return Sparsity(1.0); }
  /// Units to keep in each layer, in order. The caller raises them to `at_least` and cuts them to
  /// what is alive.
  virtual std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const = 0;
  /// The same for channels, whose weights belong to two layers each. `weights` counts them once; it
  /// starts with all channels there. Allocations that look at units alone need not care.
  virtual std::vector<int64_t> keep_channels(std::span<const SiteScores> layers,
                                             Sparsity target,
                                             ChannelWeights& /*weights*/) const {
    return keep(layers, target);
  }
};

/// One budget for all: the highest scores stay wherever they are. With units of unequal size, units
/// are taken in order of score as long as their weights fit into the kept fraction of all weights.
/// Channels go in order of score, lowest first, until what is left of all weights fits into it.
std::unique_ptr<Allocation> global_allocation();

/// How a global fraction of units becomes a number.
enum class GlobalCount : uint8_t {
  Exact,      ///< S*n rounded to the nearest go
  Threshold,  ///< the unit at place S*n goes too, and all that equal it: one or more too many
};
/// As global, but the sparsity counts units, whatever their size. `Threshold` is for reproducing
/// codes that select so; it heeds `at_least` only layer by layer.
std::unique_ptr<Allocation> global_units_allocation(GlobalCount count = GlobalCount::Exact);
/// As `global_units_allocation`, among the layers of one kind (`Site::kind`) only: each kind loses
/// the same share of its units, rounded to the nearest. Source: Fang, Ma, Bi Mi, Wang, arXiv
/// 2407.04616. (isomorphic.cpp)
std::unique_ptr<Allocation> isomorphic_allocation();
/// Every unit with a score above the threshold stays; the sparsity follows.
std::unique_ptr<Allocation> threshold_allocation(double threshold);
/// Everything that is there stays, whatever the target is: for updates that move or grow.
/// (living.cpp)
std::unique_ptr<Allocation> living_allocation();

/// Which share of all units that grow a layer gets.
enum class GrowthShare : uint8_t {
  Survivors,  ///< in proportion to the units that survived in it
  Merit       ///< in proportion to the mean growth score of those that were there before
};
/// For growing (`UpdateParts::growth_allocation`): survivors stay, and what is missing of the kept
/// fraction of all units is divided between the layers; exact in total. What finds no place in a
/// layer goes to the others in the same proportions. (regrowth.cpp)
std::unique_ptr<Allocation> regrowth_allocation(GrowthShare share);

/// Whether the first layer is pruned like the others.
enum class FirstLayer : uint8_t { Pruned, Dense };
/// The same sparsity in every layer; the first one dense if wanted (then the others don't make up
/// for it).
std::unique_ptr<Allocation> uniform_allocation(FirstLayer first = FirstLayer::Pruned);
/// The same sparsity in every layer, where every layer loses S*n rounded down, as methods of
/// filters publish it: 4 of 16 at 0.3.
std::unique_ptr<Allocation> uniform_floor_allocation();

/// Which sizes count for an Erdos-Renyi density.
enum class ErdosRenyi : uint8_t {
  Channels,  ///< ER: (O + I) / (O I)
  Kernel,    ///< ERK: (O + I + R + S) / (O I R S)
};
/// Layer densities in proportion to sum / product of the weight's sizes, capped at 1. Exact in
/// total: S*n of all units, rounded to the nearest, go, `at_least` included, unless that leaves
/// less than all of `at_least`. Source: Evci et al., arXiv 1911.11134, and the sizes of its
/// published code, which rounds the budget of each layer down instead (a few weights more are kept
/// there).
std::unique_ptr<Allocation> erdos_renyi_allocation(ErdosRenyi kind);
/// The densities themselves. Layers that would exceed 1 become dense, those tied for the highest
/// ratio together, and the rest is solved again.
std::vector<double> erdos_renyi_densities(std::span<const Shape> shapes,
                                          Sparsity target,
                                          ErdosRenyi kind);

/// How the densities of convolutions fall with depth; l counts layers from 1, k = L - l + 1.
enum class SmartRatioRule : uint8_t {
  Residual,   ///< k^2 + k
  Plain,      ///< (k^2 + k) / l^2
  Linear,     ///< k
  Cubic,      ///< k^3
  Ascending,  ///< l^2 + l
  Uniform,    ///< 1
};
/// Settings of smart ratios.
struct SmartRatioOptions {
  SmartRatioRule rule = SmartRatioRule::Residual;  ///< shape of the ratios over depth
  Density linear_density = Density(0.3);           ///< of linear layers
};
/// Densities by depth. Source: Su et al., arXiv 2009.11094.
std::unique_ptr<Allocation> smart_ratio_allocation(const SmartRatioOptions& options);
/// The densities themselves: weights of rank 2 are linear layers; what exceeds 1 goes to the next
/// convolution. Linear layers keep more than their fraction when convolutions can't hold the
/// budget. Throws ValueError when linear layers alone exceed it.
std::vector<double> smart_ratio_densities(std::span<const Shape> shapes,
                                          Sparsity target,
                                          const SmartRatioOptions& options);

/// How ratios are taken.
enum class Ratios : uint8_t {
  Fixed,   ///< every layer keeps its ratio, whatever the target is
  Scaled,  ///< times one factor, and one unit more where it still fits, so that the target is met
};
/// By layer, in order or by `names`, the share of its units that it keeps; empty: the same of all.
/// Scaled, what
/// is left is as much of the kept fraction of all weights as whole units allow. What a search has
/// found. (ratios.cpp)
std::unique_ptr<Allocation> ratio_allocation(std::vector<double> ratios,
                                             Ratios taken,
                                             std::vector<std::string> names = {});

/// Of scores that are shares of units: as many units stay as the scores of those that are there add
/// up to, rounded to the nearest, and the sparsity follows; or (Scaled) that share of a layer times
/// one factor, so that the target is met. (summed.cpp)
std::unique_ptr<Allocation> summed_allocation(Ratios taken = Ratios::Fixed);

/// Settings of `outlier_allocation`.
struct OutlierOptions {
  double times = 5.0;    ///< M: a score above so many means of its block is an outlier
  double lambda = 0.08;  ///< densities differ by twice this at most
};
/// The more outliers the scores of a block of layers (`block_of_layer`) hold, the denser it stays:
/// between the blocks with most and fewest of them are 2 lambda of density, others in proportion.
/// Exact in total, and as if lambda were 0 when all blocks have the same share of outliers. Source:
/// Yin et al., arXiv 2310.05175. (outliers.cpp)
std::unique_ptr<Allocation> outlier_allocation(const OutlierOptions& options);
/// For every layer the share of outliers among the living units of its block.
std::vector<double> outlier_shares(std::span<const SiteScores> layers,
                                   const OutlierOptions& options);

/// Units by layer name that `by` has given before: where layers are pruned one after another, or by
/// other scores. Its `keep` throws ValueError for a layer without a number. (settled.cpp)
std::unique_ptr<Allocation> settled_allocation(std::map<std::string, int64_t> kept,
                                               const Allocation& by);

/// Sparsities by layer name (whole or a prefix up to a dot) as `NAME=S,NAME=S,..`; `rest` divides
/// the target among the others. Throws ValueError for text that does not parse and, once layers are
/// known, for a name that fits none of them. (named.cpp)
/// An empty text names none: `rest` itself.
std::shared_ptr<const Allocation> named_allocation(std::shared_ptr<const Allocation> rest,
                                                   const std::string& text);

/// The allocation of a name: `global`, `uniform`, `uniform-dense-first`, `er`, `erk`, `isomorphic`.
/// Throws ValueError for another.
std::unique_ptr<Allocation> make_allocation(const std::string& name);

}  // namespace espalier::prune
