// SPDX-License-Identifier: Apache-2.0
/// Repair: new values for what stays of a layer, so that it does what the whole one did. A part
/// beside the score: SparseGPT, channel pruning by LASSO, OBS and ThiNet are a score (or a choice
/// of their own) and a repair.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <espalier/prune/curvature/block_fisher.h>
#include <espalier/prune/curvature/input_moments.h>
#include <espalier/prune/curvature/linalg/surgeon.h>
#include <espalier/prune/ground/inputs.h>
#include <espalier/prune/ground/settings.h>
#include <espalier/prune/patterns/pattern.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// A site that is repaired, in the network pruned so far.
struct RepairContext {
  nn::Module& model;                ///< sites before this one are pruned and repaired
  nn::Module* original;             ///< the network before the update; null unless `compares`
  const Pattern& pattern;           ///< of the site, before the first one the common one
  const PruneInputs& inputs;        ///< data; `batch` is always there
  const PruneSettings& settings;    ///< of the method's user
  Sparsity target;                  ///< of this update
  std::vector<std::string>* notes;  ///< for what a user must know
};

/// New values for what stays. One that chooses by itself (SparseGPT, LASSO channels, ThiNet) is
/// asked site by site, in the order in which layers run: `begin`, then `repair`. One that follows
/// the choice of a score (OBS) is asked once for all sites: `refit`.
class Repair {
 public:
  virtual ~Repair() = default;
  /// Whether it chooses what stays; else the update's score does.
  virtual bool chooses() const { return true; }
  /// Whether it needs `RepairContext::original`, a copy of the whole network.
  virtual bool compares() const { return false; }
  /// Why it can't serve a pattern; empty if it can.
  virtual std::string refusal(const Pattern& /*pattern*/) const { return {}; }
  /// Why a site can't be pruned; empty if it can. Told as a note.
  virtual std::string refusal(const Site& /*site*/) const { return {}; }
  /// Before the first site: how many batches there are is found out, and told.
  virtual void begin(const RepairContext&) {}
  /// Chooses the `kept` units of a site that stay and gives what stays its new values. Of channels
  /// the choice is returned, 1 for what stays, and the caller masks the others with all that is
  /// tied to them; of other patterns the mask is set here, and nothing is returned.
  virtual std::vector<uint8_t> repair(const RepairContext& context, const Site& site, int64_t kept);
  /// Gives the weights of all sites new values for the choice of a score: `kept` holds 1 for the
  /// units that stay, by site. The network is still whole; the caller then masks what goes.
  virtual void refit(const RepairContext& context,
                     std::span<const Site> sites,
                     std::span<const std::vector<uint8_t>> kept);
};

/// Settings of surgery on layers.
struct LayerSurgeryOptions {
  int64_t batches = 4;    ///< of data, from which a layer's inputs are known
  double damping = 0.01;  ///< times the mean of the Hessian's diagonal, added to it
  int64_t block = 128;    ///< columns whose mask is chosen at a time; not of greedy surgery
};
/// Weights go column by column, by w^2 / [H^-1]_jj, and the columns still to come make up for each.
/// Source: Frantar, Alistarh, arXiv 2301.00774. (layer_surgery.cpp)
std::shared_ptr<Repair> column_surgery(const LayerSurgeryOptions& options);
/// In every row always the weight goes that costs least, and all others of the row make up for it.
/// Source: Frantar, Singh, Alistarh, arXiv 2208.11580. (layer_surgery.cpp)
std::shared_ptr<Repair> greedy_surgery(const LayerSurgeryOptions& options);

/// The optimal brain surgeon's update of what stays in each block of weights, for the choice of the
/// score that found `fisher` (`surgeon_score`). For patterns of weights. (surgeon.cpp)
std::shared_ptr<Repair> surgeon_repair(std::shared_ptr<FisherBlocks> fisher,
                                       Removal removal = Removal::InTurn);

/// Settings of the way to isometry.
struct IsometryOptions {
  int64_t steps = 10'000;  ///< of gradient descent, at most
  double rate = 0.1;       ///< of its steps
};
/// What stays of each layer moves so that the layer keeps norms again: downhill on ||W W' - 1||_F,
/// W the weight under its mask as a matrix (outputs, rest), of each group of a convolution. Ends
/// early when a hundred steps have brought nothing. Source: Lee, Ajanthan, Gould, Torr, arXiv
/// 1906.06307. (isometry.cpp)
std::shared_ptr<Repair> isometry_repair(const IsometryOptions& options);

/// Channels by the LASSO, then least squares of the layer that reads them, over `batches`.
/// Source: He, Zhang, Sun, arXiv 1707.06168. (lasso.cpp)
std::shared_ptr<Repair> lasso_least_squares(int64_t batches);

/// Those channels go that together add least to the outputs of the layer that reads them, and the
/// weights that read the others are scaled, one factor a channel; over `batches`. Source: Luo, Wu,
/// Lin, arXiv 1707.06342. (greedy_channels.cpp)
std::shared_ptr<Repair> greedy_channels(int64_t batches);

/// Channels that a score chose go, and the layer that reads them gets what they gave on average: in
/// its bias, or in the running mean of the batch norm behind it; a note names layers that have
/// neither. `moments` are those that the score has found (`fluctuation_score`). Source: An et al.,
/// arXiv 2312.11983. (mean_compensation.cpp)
std::shared_ptr<Repair> mean_compensation(std::shared_ptr<InputMoments> moments);

}  // namespace espalier::prune
