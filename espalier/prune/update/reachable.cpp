// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/update/reachable.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include <espalier/prune/sites/channel_weights.h>
#include <espalier/prune/sites/collapse.h>
#include <espalier/prune/sites/outputs.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

constexpr double kWorthRefusing = 0.01;

/// How many units a path from the input to an output needs at least; channels are counted apart,
/// because not all that a path goes through may go.
int64_t needed_by_a_path(const std::vector<Site>& sites, const FlowGraph* flow, bool coupled) {
  if (flow == nullptr || !flow->connected()) return static_cast<int64_t>(sites.size());
  if (coupled) return 0;
  std::set<const nn::Parameter*> weights;
  for (const Site& site : sites) weights.insert(site.parts.front().parameter);
  return flow->shortest(weights);
}

/// Units that the outputs of the network need of the site.
int64_t needed_by_outputs(const Site& site) {
  const std::vector<double> equal(static_cast<size_t>(site.units), 0.0);
  const auto needed = units_of_outputs(site, equal, site.alive());
  return std::accumulate(needed.begin(), needed.end(), int64_t{0});
}

int64_t least_of(const Site& site, const PruneSettings& settings) {
  return std::max(least_units(site, settings), needed_by_outputs(site));
}

/// The share of the prunable weights that is left when sites keep so many units.
double share_left(const std::vector<Site>& sites,
                  const std::vector<nn::NamedParameter>& weights,
                  bool coupled,
                  const std::vector<int64_t>& kept) {
  if (coupled) {
    ChannelWeights left(sites, weights);
    for (size_t s = 0; s < sites.size(); ++s) {
      for (int64_t u = kept[s]; u < sites[s].units; ++u) left.remove(s, u);
    }
    return static_cast<double>(left.left()) / static_cast<double>(left.total());
  }
  double left = 0.0;
  double total = 0.0;
  for (size_t s = 0; s < sites.size(); ++s) {
    const std::vector<int64_t> of_units = sites[s].unit_weights();
    for (size_t u = 0; u < of_units.size(); ++u) {
      total += static_cast<double>(of_units[u]);
      if (static_cast<int64_t>(u) < kept[s]) left += static_cast<double>(of_units[u]);
    }
  }
  return left / total;
}

/// Why `least_of` is not 0.
std::string who_keeps(const std::vector<Site>& sites, const PruneSettings& settings) {
  const bool outputs =
      std::ranges::any_of(sites, [](const Site& site) { return !site.outputs.empty(); });
  const std::string rule = "a unit of every output of the network";
  if (settings.min_per_layer == 0) return rule;
  return cat("min-per-layer ", settings.min_per_layer, outputs ? " with " + rule : "");
}

/// What every layer keeps: known, where the allocation looks at sizes alone.
std::vector<int64_t> kept_by_size(const std::vector<Site>& sites,
                                  const Allocation& allocation,
                                  const PruneSettings& settings,
                                  bool with_floors) {
  std::vector<SiteScores> views;
  for (const Site& site : sites) {
    views.push_back({.name = site.name,
                     .shape = site.shape,
                     .units = site.units,
                     .scores = {},
                     .alive = {},
                     .weights = {},
                     .at_least = with_floors ? least_of(site, settings) : 0});
  }
  std::vector<int64_t> kept = allocation.keep(views, settings.final());
  for (size_t s = 0; s < sites.size(); ++s) kept[s] = std::max(kept[s], views[s].at_least);
  return kept;
}

}  // namespace

void check_reachable(const std::vector<Site>& all,
                     const std::vector<nn::NamedParameter>& weights,
                     const FlowGraph* flow,
                     bool coupled,
                     const Allocation* allocation,
                     const PruneSettings& settings) {
  std::vector<Site> sites;
  for (const Site& site : all) {
    if (site.cell.size == 0) sites.push_back(site);  // else the pattern fixes what stays
  }
  if (sites.empty() || (allocation != nullptr && !allocation->heeds_target())) return;
  const double sparsity = settings.final().value();
  double wanted = sparsity;
  const bool by_size = allocation != nullptr && !allocation->looks_at_scores();
  int64_t units = 0;
  int64_t floors = 0;
  for (const Site& site : sites) {
    units += site.units;
    floors += least_of(site, settings);
  }
  int64_t kept = kept_count(units, settings.final());
  if (by_size) {
    const std::vector<int64_t> by_site = kept_by_size(sites, *allocation, settings, true);
    check_empty_sites(flow, sites, by_site, settings);
    kept = std::accumulate(by_site.begin(), by_site.end(), int64_t{0});
    // An allocation that rounds every layer down misses the number by itself.
    const std::vector<int64_t> free = kept_by_size(sites, *allocation, settings, false);
    wanted =
        std::min(wanted,
                 1.0 - static_cast<double>(std::accumulate(free.begin(), free.end(), int64_t{0})) /
                           static_cast<double>(units));
  } else if (settings.min_per_layer == 0 && !settings.allow_collapse && allocation != nullptr &&
             allocation->sparsity_of(coupled) ==
                 (coupled ? SparsityOf::Channels : SparsityOf::Weights)) {
    if (kept == 0) check_empty_sites(flow, sites, std::vector<int64_t>(sites.size(), 0), settings);
    const int64_t needed = needed_by_a_path(sites, flow, coupled);
    ESPALIER_CHECK(kept >= needed,
                   ValueError,
                   "prune: at sparsity ",
                   sparsity,
                   " only ",
                   kept,
                   kept == 1 ? " unit stays" : " units stay",
                   ", but a path from the network's input to an output goes through ",
                   needed,
                   " layers (layer collapse), so the network could not learn. Prune less, or set "
                   "allow-collapse.");
  }
  int64_t least = std::max(kept, floors);
  double reached = 1.0 - static_cast<double>(least) / static_cast<double>(units);
  // Units count where the sparsity is of units, or sizes alone say how many each layer keeps.
  if (!by_size && allocation != nullptr &&
      allocation->sparsity_of(coupled) == SparsityOf::Weights) {
    std::vector<int64_t> needed;
    for (const Site& site : sites) needed.push_back(least_of(site, settings));
    least = floors;
    reached = 1.0 - share_left(sites, weights, coupled, needed);
    // What is of no site at all stays without any floor.
    const std::vector<int64_t> none(sites.size(), 0);
    wanted = std::min(wanted, 1.0 - share_left(sites, weights, coupled, none));
  }
  const bool told =
      allocation != nullptr && allocation->sparsity_of(coupled) != SparsityOf::Nothing;
  ESPALIER_CHECK(!told || floors == 0 || reached >= wanted - kWorthRefusing,
                 ValueError,
                 "prune: ",
                 who_keeps(sites, settings),
                 fmt::format(" keeps {} of {} units, so sparsity {:.4g} can't be reached, only "
                             "{:.4f}. Ask for less",
                             least,
                             units,
                             sparsity,
                             reached),
                 settings.min_per_layer > 0 ? ", or lower min-per-layer" : "");
}

}  // namespace espalier::prune
