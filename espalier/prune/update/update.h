// SPDX-License-Identifier: Apache-2.0
/// The action that changes masks: score x pattern x allocation, chosen among what lives, all, or
/// what lives and grows. Pruning before, during and after training are the same action at other
/// moments.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/growth/growth.h>
#include <espalier/prune/repair/repair.h>
#include <espalier/prune/scores/score.h>
#include <espalier/prune/search/walk.h>
#include <espalier/prune/timeline/timeline.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {

/// From where an update chooses.
enum class Candidates : uint8_t {
  Living,  ///< what is gone stays gone, unless `growth` brings it back
  All      ///< everything: what is gone may come back, from zero
};

/// What becomes of what an update does not choose.
enum class Effect : uint8_t {
  Remove,  ///< it is masked: zero, without gradient and momentum, and its units with all tied to
           ///< them
  /// The weights of scored units are set to zero and train on like all others. Not for good: the
  /// last update of a method removes.
  Zero,
  /// They rest at zero, without gradient and momentum, until the next update. Not for good.
  Rest
};

/// What a mask update is made of.
struct UpdateParts {
  std::shared_ptr<Score> score = {};            ///< how much a unit matters
  std::shared_ptr<Allocation> allocation = {};  ///< how many units each site keeps
  /// By which scores an allocation that looks at scores divides, if by others than those by which
  /// units are chosen. Null: by `score`.
  std::shared_ptr<Score> division = {};
  std::shared_ptr<Growth> growth = {};  ///< which removed units take the place of kept ones
  /// How many units each site has when it has grown. `allocation` then says only how many survive.
  /// Null: as many grow as the schedule moves.
  std::shared_ptr<Allocation> growth_allocation = {};
  Candidates candidates = Candidates::Living;  ///< from where it chooses
  Effect effect = Effect::Remove;              ///< on the others
  /// Gives what stays new values. One that chooses by itself needs no score, and layers are then
  /// updated one after another.
  std::shared_ptr<Repair> repair = {};
  /// Finds how much every site keeps, by trying; then there is no allocation. What it leaves of the
  /// target is given back to all sites, in proportion.
  std::shared_ptr<RatioSearch> search = {};
  OracleOptions oracle = {};  ///< of a search
  /// Single weights compete with those of the same output only, each output losing as many.
  bool compete_in_rows = false;
  /// When set, layers are pruned in the order in which they run, a stage at a time, so that each is
  /// scored on what the pruned layers before it give. How many units each keeps is settled before
  /// the first, on the network as it is. Not for patterns that couple layers.
  std::optional<Stage> stages = {};
  SiteRules sites = {};  ///< which sites may be cut
  /// Every site keeps so many units, unless collapse is allowed.
  int64_t min_per_layer = 0;
  /// No site loses a larger share of its units, unless collapse is allowed.
  Sparsity max_layer_sparsity = Sparsity(1.0);
  /// Batches on which batch norm's statistics are measured again afterwards, where anything was
  /// removed.
  int64_t norm_batches = 0;
};

/// The action. Throws ValueError without a score (or a repair that chooses) or an allocation (or a
/// search), and for a growth allocation without growth or a repair that follows the score in stages
/// or under another effect than `Remove`; NotImplemented for a search of layers that are pruned one
/// after another.
std::shared_ptr<Action> mask_update(UpdateParts parts);

/// When a choice has settled.
struct SettledOptions {
  int64_t looks = 5;      ///< choices that are compared, the newest with all before it
  double distance = 0.1;  ///< share of the units in which it may differ from each of them
};
/// An update that looks at what it would choose at every moment of its schedule, and is made at the
/// first at which that has settled, or at the last of all with a note; once. `score` is asked at
/// each. Throws as `mask_update`. (draw_when_settled.cpp)
std::shared_ptr<Action> draw_when_settled(UpdateParts parts, const SettledOptions& options);

/// How many units of each site, by name, stay in the end as the allocation divides the sparsity, or
/// a target, by sizes alone: for methods that choose while they train.
std::vector<std::pair<std::string, int64_t>> kept_of_each(
    const Subject& subject, const std::shared_ptr<const Allocation>& allocation);

/// What the last mask update of a timeline is made of; nothing if it makes none.
std::optional<UpdateParts> last_update_of(const Timeline& timeline);

}  // namespace espalier::prune
