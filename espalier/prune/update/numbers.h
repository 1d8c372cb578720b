// SPDX-License-Identifier: Apache-2.0
/// How many units sites keep, besides what an allocation says: floors of the settings, and cells,
/// which have numbers of their own. Not a public interface.
#pragma once

#include <optional>
#include <vector>

#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/ground/settings.h>
#include <espalier/prune/schedules/schedule.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// Units that a site keeps whatever the budget is, by `min_per_layer` and `max_layer_sparsity`.
int64_t least_units(const Site& site, const PruneSettings& settings);

/// The nearest multiple of channels that the user asked layers to keep; a layer that loses nothing
/// stays.
int64_t rounded_channels(int64_t kept, int64_t units, const PruneSettings& settings);

/// Units that each site keeps: sites with cells their own number, the others what the allocation
/// gives them as if they were alone.
std::vector<int64_t> keep_of_free_sites(const std::vector<Site>& sites,
                                        const std::vector<SiteScores>& views,
                                        const Allocation& allocation,
                                        Sparsity target);

/// What a site with cells is to lose by now: it has a final sparsity of its own, and is as far on
/// the way to it as `target` is on that to `final` (or as the moment says).
Sparsity target_in_cells(const UnitCell& cell,
                         const Moment& moment,
                         Sparsity target,
                         const std::optional<Sparsity>& final);
/// Units of a cell that stay on the way from dense to the pattern's own number.
int64_t keep_in_cell(const UnitCell& cell, Sparsity target);

/// Settings must fit the patterns: where every layer has N:M there is one final sparsity. Throws
/// ValueError.
void check_sparsity(const LayerPatterns& patterns, Sparsity sparsity);

}  // namespace espalier::prune
