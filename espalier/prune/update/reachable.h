// SPDX-License-Identifier: Apache-2.0
/// Sparsities that no choice of units can reach, found before training instead of at the last mask
/// update.
#pragma once

#include <vector>

#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/ground/settings.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/structure/flow_graph.h>

namespace espalier::prune {

/// Throws ValueError when pruning those sites of `all` that have no cells to `settings.sparsity`
/// must cut the network (unless collapse is allowed), or must miss it by more than a hundredth
/// because of `min_per_layer`. Of an allocation that looks at scores, or none, only what holds
/// whatever the scores are is known. `flow`: the network's paths; null: a site with nothing left is
/// a cut. `coupled`: units are channels. `weights`: the prunable ones, of which a sparsity of
/// weights is the share.
void check_reachable(const std::vector<Site>& all,
                     const std::vector<nn::NamedParameter>& weights,
                     const FlowGraph* flow,
                     bool coupled,
                     const Allocation* allocation,
                     const PruneSettings& settings);

}  // namespace espalier::prune
