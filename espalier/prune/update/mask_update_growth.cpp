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

void MaskUpdate::move(const std::vector<std::vector<double>>& scores,
                      double moved,
                      Growth& growth,
                      Rng& rng) {
  const auto merits = growth_merits(growth, rng);
  // As many move, but others: only the densities of layers are left of the method's choice.
  const bool at_random = settings_->ablation == Ablation::Shuffle;
  for (size_t s = 0; s < sites_.size(); ++s) {
    const int64_t kept = count(keep_[s]);
    auto grown = guarded_floor(moved * static_cast<double>(kept));
    // What is dropped, here or by the allocation, must find another place.
    if (!growth.may_grow_dropped()) grown = std::min(grown, sites_[s].units - count(alive_[s]));
    const auto of_outputs = units_of_outputs(sites_[s], scores[s], keep_[s]);
    grown = std::min(grown, kept - count(of_outputs));
    Rng own = rng.fork(stream_id("move " + sites_[s].name));
    std::vector<uint8_t> stays = top_k(scores[s], keep_[s], kept - grown, of_outputs);
    if (!of_outputs.empty() && stays != top_k(scores[s], keep_[s], kept - grown)) {
      saves_outputs_[s] = 1;
    }
    if (at_random) {
      shuffle_range(stays, keep_[s], 0, stays.size(), own);
      save_outputs(s, keep_[s], own, stays);
    }
    grow(s, std::move(stays), grown, merits[s], growth, own);
  }
}

/// Brings every site to what the allocation gives it, from those that were chosen to stay.
void MaskUpdate::refill(const std::vector<std::vector<double>>& scores,
                        const Allocation& allocation,
                        Sparsity target,
                        Growth& growth,
                        Rng& rng) {
  const auto merits = growth_merits(growth, rng);
  const std::vector<std::vector<int64_t>> weights = weights_of_units();
  const std::vector<SiteScores> views = site_scores(scores, keep_, weights);
  const std::vector<int64_t> wanted = allocation.keep(views, target);
  for (size_t s = 0; s < sites_.size(); ++s) {
    const int64_t survivors = count(keep_[s]);
    const int64_t places = sites_[s].units - survivors;
    const int64_t grown = std::max(wanted[s], views[s].at_least) - survivors;
    Rng own = rng.fork(stream_id("move " + sites_[s].name));
    grow(s, keep_[s], std::clamp<int64_t>(grown, 0, places), merits[s], growth, own);
  }
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
