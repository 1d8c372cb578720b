// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/reachable.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

namespace espalier::prune {
namespace {

constexpr double kWorthRefusing = 0.01;

void refuse_collapse(double sparsity, const std::string& what) {
  throw ValueError(
      cat("prune: at sparsity ",
          sparsity,
          " nothing would be left of ",
          what,
          " (layer collapse), so the network could not learn. Prune less, protect layers with "
          "min-per-layer, choose another allocation (erk), or set allow-collapse."));
}

/// What every layer keeps: known, where the allocation looks at sizes alone.
std::vector<int64_t> kept_by_size(const std::vector<Site>& sites,
                                  const Allocation& allocation,
                                  const PruneSettings& settings) {
  std::vector<LayerView> views;
  for (const Site& site : sites) {
    views.push_back({.name = site.name,
                     .shape = site.shape,
                     .units = site.units,
                     .scores = {},
                     .alive = {},
                     .weights = {},
                     .at_least = std::min(settings.min_per_layer, site.units)});
  }
  std::vector<int64_t> kept = allocation.keep(views, settings.sparsity);
  for (size_t s = 0; s < sites.size(); ++s) kept[s] = std::max(kept[s], views[s].at_least);
  return kept;
}

}  // namespace

void check_reachable(const std::vector<Site>& sites,
                     bool coupled,
                     const Allocation* allocation,
                     const PruneSettings& settings) {
  const bool in_cells =
      std::any_of(sites.begin(), sites.end(), [](const Site& site) { return site.cell.size > 0; });
  if (in_cells || sites.empty()) return;  // the pattern fixes what stays
  const double sparsity = settings.sparsity.value();
  const bool by_size = allocation != nullptr && !allocation->looks_at_scores();
  int64_t units = 0;
  int64_t floors = 0;
  for (const Site& site : sites) {
    units += site.units;
    floors += std::min(settings.min_per_layer, site.units);
  }
  int64_t kept = kept_count(units, settings.sparsity);
  if (by_size) {
    const std::vector<int64_t> by_site = kept_by_size(sites, *allocation, settings);
    std::string empty;
    for (size_t s = 0; s < sites.size(); ++s) {
      if (by_site[s] == 0) empty += (empty.empty() ? "" : ", ") + sites[s].name;
    }
    if (!empty.empty() && !settings.allow_collapse) refuse_collapse(sparsity, empty);
    kept = std::accumulate(by_site.begin(), by_site.end(), int64_t{0});
  } else if (floors == 0 && kept < static_cast<int64_t>(sites.size()) && !settings.allow_collapse &&
             allocation != nullptr &&
             allocation->sparsity_of(coupled) ==
                 (coupled ? SparsityOf::Channels : SparsityOf::Weights)) {
    refuse_collapse(sparsity,
                    cat("some of the ",
                        static_cast<int64_t>(sites.size()),
                        " layers: ",
                        kept,
                        kept == 1 ? " unit stays" : " units stay"));
  }
  const int64_t least = std::max(kept, floors);
  const double reached = 1.0 - static_cast<double>(least) / static_cast<double>(units);
  const bool told =
      allocation != nullptr && allocation->sparsity_of(coupled) != SparsityOf::Nothing;
  ESPALIER_CHECK(!told || floors == 0 || reached >= sparsity - kWorthRefusing,
                 ValueError,
                 "prune: min-per-layer ",
                 settings.min_per_layer,
                 fmt::format(" keeps {} of {} units, so sparsity {:.4g} can't be reached, only "
                             "{:.4f}. Ask for less, or lower min-per-layer",
                             least,
                             units,
                             sparsity,
                             reached));
}

}  // namespace espalier::prune
