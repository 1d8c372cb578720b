// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/update/numbers.h>

#include <algorithm>
#include <cmath>

#include <espalier/core/error.h>
#include <espalier/prune/ground/select.h>

namespace espalier::prune {
namespace {

constexpr double kSameSparsity = 1e-6;

double removed_by(const UnitCell& cell) {
  return 1.0 - static_cast<double>(cell.keep) / static_cast<double>(cell.size);
}

}  // namespace

int64_t least_units(const Site& site, const PruneSettings& settings) {
  const auto most = settings.max_layer_sparsity.value() * static_cast<double>(site.units);
  return std::max(std::min(settings.min_per_layer, site.units), site.units - guarded_floor(most));
}

int64_t rounded_channels(int64_t kept, int64_t units, const PruneSettings& settings) {
  const int64_t step = settings.round_channels_to;
  if (step <= 1 || units < step || kept == units) return kept;
  return std::min(std::max((kept + step / 2) / step * step, step), units);
}

std::vector<int64_t> keep_of_free_sites(const std::vector<Site>& sites,
                                        const std::vector<SiteScores>& views,
                                        const Allocation& allocation,
                                        Sparsity target) {
  std::vector<SiteScores> free;
  for (size_t s = 0; s < sites.size(); ++s) {
    if (sites[s].cell.size == 0) free.push_back(views[s]);
  }
  const std::vector<int64_t> of_free =
      free.empty() ? std::vector<int64_t>() : allocation.keep(free, target);
  std::vector<int64_t> kept;
  size_t next = 0;
  for (const Site& site : sites) {
    kept.push_back(site.cell.size == 0 ? of_free[next++]
                                       : site.units / site.cell.size * site.cell.keep);
  }
  return kept;
}

Sparsity target_in_cells(const UnitCell& cell,
                         const Moment& moment,
                         Sparsity target,
                         const std::optional<Sparsity>& final) {
  const double own = removed_by(cell);
  if (!moment.way && (!final || std::abs(final->value() - own) < kSameSparsity)) return target;
  const double way = moment.way              ? *moment.way
                     : final->value() == 0.0 ? 1.0
                                             : target.value() / final->value();
  return Sparsity(own * std::clamp(way, 0.0, 1.0));
}

int64_t keep_in_cell(const UnitCell& cell, Sparsity target) {
  const int64_t gone = guarded_floor(target.value() * static_cast<double>(cell.size));
  return std::max(cell.keep, cell.size - gone);
}

void check_sparsity(const LayerPatterns& patterns, Sparsity sparsity) {
  if (!patterns.all_cells()) return;
  const double fixed = removed_by(patterns.common().cell());
  ESPALIER_CHECK(std::abs(sparsity.value() - fixed) < kSameSparsity,
                 ValueError,
                 "prune: the pattern ",
                 patterns.common().name(),
                 " removes exactly ",
                 fixed,
                 " of the weights, but sparsity is ",
                 sparsity.value(),
                 ". Leave --sparsity out (in C++: set PruneSettings::sparsity to what the pattern "
                 "removes), or choose another pattern.");
}

}  // namespace espalier::prune
