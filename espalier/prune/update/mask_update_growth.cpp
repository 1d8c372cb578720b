// SPDX-License-Identifier: Apache-2.0
/// What a mask update does besides keeping the best of what lives: it lets removed units grow, and
/// draws units at random for the ablation.
#include <algorithm>

#include <espalier/prune/sites/outputs.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

int64_t count(const std::vector<uint8_t>& flags) {
  return std::count(flags.begin(), flags.end(), uint8_t{1});
}

/// Random order of the flags of the units begin..end-1 that are candidates.
void shuffle_range(std::vector<uint8_t>& flags,
                   const std::vector<uint8_t>& candidates,
                   size_t begin,
                   size_t end,
                   Rng& rng) {
  std::vector<size_t> places;
  for (size_t i = begin; i < end; ++i) {
    if (candidates[i] != 0) places.push_back(i);
  }
  const std::vector<int64_t> order = rng.permutation(static_cast<int64_t>(places.size()));
  std::vector<uint8_t> shuffled;
  for (int64_t from : order) shuffled.push_back(flags[places[static_cast<size_t>(from)]]);
  for (size_t i = 0; i < places.size(); ++i) flags[places[i]] = shuffled[i];
}

}  // namespace

void MaskUpdate::shuffle(Rng& rng) {
  for (size_t s = 0; s < sites_.size(); ++s) {
    Rng own = rng.fork(stream_id("shuffle " + sites_[s].name));
    const auto size = static_cast<size_t>(
        sites_[s].cell.size == 0 ? std::max<int64_t>(sites_[s].units, 1) : sites_[s].cell.size);
    for (size_t begin = 0; begin < keep_[s].size(); begin += size) {
      shuffle_range(keep_[s], alive_[s], begin, begin + size, own);
    }
    save_outputs(s, alive_[s], own, keep_[s]);
  }
}

std::vector<std::vector<double>> MaskUpdate::growth_merits(Growth& growth, Rng& rng) {
  for (const Site& site : sites_) {
    ESPALIER_CHECK(
        site.cell.size == 0, NotImplemented, "prune: growth inside N:M cells of ", site.name);
  }
  return unit_scores(
      sites_, weights_, growth.compute({*model_, weights_, *inputs_, rng}), Reduce::Sum);
}

/// Drops the fraction `moved` of what was chosen in every site, and lets others grow: as many, or
/// as many as an allocation says.
void MaskUpdate::move(const std::vector<std::vector<double>>& scores,
                      double moved,
                      Sparsity target,
                      const MaskGrowth& growth,
                      Rng& rng) {
  const auto merits = growth_merits(*growth.growth, rng);
  std::vector<Rng> own;
  std::vector<std::vector<uint8_t>> stays;
  std::vector<int64_t> grown;
  for (size_t s = 0; s < sites_.size(); ++s) {
    own.push_back(rng.fork(stream_id("move " + sites_[s].name)));
    stays.push_back(moved > 0.0 ? drop(s, scores[s], moved, *growth.growth, own[s]) : keep_[s]);
    grown.push_back(count(keep_[s]) - count(stays[s]));
  }
  if (growth.allocation != nullptr) grown = regrown(scores, stays, merits, growth, target);
  for (size_t s = 0; s < sites_.size(); ++s) {
    grow(s, std::move(stays[s]), grown[s], merits[s], *growth.growth, own[s]);
  }
}

/// What is left of a site's chosen units when a fraction goes: no more than find another place, and
/// none that an output needs.
std::vector<uint8_t> MaskUpdate::drop(
    size_t site, const std::vector<double>& scores, double moved, const Growth& growth, Rng& own) {
  const std::vector<uint8_t>& kept = keep_[site];
  auto dropped = guarded_floor(moved * static_cast<double>(count(kept)));
  // What is dropped, here or by the allocation, must find another place.
  if (!growth.may_grow_dropped()) {
    dropped = std::min(dropped, sites_[site].units - count(alive_[site]));
  }
  const auto of_outputs = units_of_outputs(sites_[site], scores, kept);
  dropped = std::min(dropped, count(kept) - count(of_outputs));
  std::vector<uint8_t> stays = top_k(scores, kept, count(kept) - dropped, of_outputs);
  if (!of_outputs.empty() && stays != top_k(scores, kept, count(kept) - dropped)) {
    saves_outputs_[site] = 1;
  }
  // As many move, but others: only the densities of layers are left of the method's choice.
  if (settings_->ablation == Ablation::Shuffle) {
    shuffle_range(stays, kept, 0, stays.size(), own);
    save_outputs(site, kept, own, stays);
  }
  return stays;
}

/// How many units grow in every site, from those that stay to what the allocation gives it.
std::vector<int64_t> MaskUpdate::regrown(const std::vector<std::vector<double>>& scores,
                                         const std::vector<std::vector<uint8_t>>& stays,
                                         const std::vector<std::vector<double>>& merits,
                                         const MaskGrowth& growth,
                                         Sparsity target) const {
  const std::vector<std::vector<int64_t>> weights = weights_of_units();
  std::vector<SiteScores> views = site_scores(scores, stays, weights);
  for (size_t s = 0; s < sites_.size(); ++s) {
    const std::vector<uint8_t>& taken = growth.growth->may_grow_dropped() ? stays[s] : alive_[s];
    views[s].places = sites_[s].units - count(taken);
    double sum = 0.0;
    for (size_t u = 0; u < merits[s].size(); ++u) sum += alive_[s][u] != 0 ? merits[s][u] : 0.0;
    views[s].merit = sum / static_cast<double>(std::max<int64_t>(count(alive_[s]), 1));
  }
  const std::vector<int64_t> wanted = growth.allocation->keep(views, target);
  std::vector<int64_t> grown;
  for (size_t s = 0; s < sites_.size(); ++s) {
    const int64_t survivors = count(stays[s]);
    grown.push_back(std::clamp<int64_t>(
        std::max(wanted[s], views[s].at_least) - survivors, 0, sites_[s].units - survivors));
  }
  return grown;
}

/// Adds `grown` units to those that stay of a site. Those that were there before the update and
/// don't were just dropped; where other places don't suffice, they stay after all.
void MaskUpdate::grow(size_t site,
                      std::vector<uint8_t> stays,
                      int64_t grown,
                      const std::vector<double>& merits,
                      const Growth& growth,
                      Rng& own) {
  std::vector<uint8_t> gone(stays.size());
  std::vector<uint8_t> places(stays.size());
  for (size_t u = 0; u < stays.size(); ++u) {
    const bool dropped = alive_[site][u] != 0 && stays[u] == 0;
    gone[u] = stays[u] == 0;
    places[u] = stays[u] == 0 && (!dropped || growth.may_grow_dropped());
  }
  const std::vector<uint8_t>& open = count(places) < grown ? gone : places;
  auto grows = top_k(merits, open, grown, places);
  if (settings_->ablation == Ablation::Shuffle) {
    shuffle_range(grows, open, 0, grows.size(), own);
  }
  for (size_t u = 0; u < stays.size(); ++u) stays[u] |= grows[u];
  keep_[site] = std::move(stays);
}

}  // namespace espalier::prune
