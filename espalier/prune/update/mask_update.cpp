// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/prune/sites/channel_weights.h>
#include <espalier/prune/sites/collapse.h>
#include <espalier/prune/sites/outputs.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

int64_t count(const std::vector<uint8_t>& flags) {
  return std::count(flags.begin(), flags.end(), uint8_t{1});
}

/// A number that is the target's is the target's in every run; another one is spread over the runs,
/// of which the first keep one more where it does not come out even.
std::vector<uint8_t> best_of_runs(const Site& site,
                                  const std::vector<double>& scores,
                                  const std::vector<uint8_t>& candidates,
                                  int64_t kept,
                                  Sparsity target,
                                  const std::vector<uint8_t>& first) {
  const int64_t least = first.empty() ? 0 : 1;
  if (kept == std::min(kept_count(site.units, target), count(candidates))) {
    const int64_t of_run = std::max(kept_count(site.run, target), least);
    return top_k_in_cells(scores, candidates, of_run, site.run);
  }
  const int64_t runs = site.units / site.run;
  std::vector<uint8_t> chosen;
  for (int64_t run = 0; run < runs; ++run) {
    const auto begin = static_cast<size_t>(run * site.run);
    const auto size = static_cast<size_t>(site.run);
    const auto there = std::span(candidates).subspan(begin, size);
    const int64_t own = std::max(kept / runs + (run < kept % runs ? 1 : 0), least);
    const std::vector<uint8_t> part =
        top_k(std::span(scores).subspan(begin, size),
              there,
              std::min<int64_t>(own, std::ranges::count(there, uint8_t{1})));
    chosen.insert(chosen.end(), part.begin(), part.end());
  }
  return chosen;
}

std::vector<uint8_t> best_units(const Site& site,
                                const std::vector<double>& scores,
                                const std::vector<uint8_t>& candidates,
                                int64_t kept,
                                Sparsity target,
                                const std::vector<uint8_t>& first) {
  if (site.run > 0) return best_of_runs(site, scores, candidates, kept, target, first);
  if (site.cell.size == 0) return top_k(scores, candidates, kept, first);
  return top_k_in_cells(scores, candidates, keep_in_cell(site.cell, target), site.cell.size);
}

bool nothing_comes_back(const std::vector<uint8_t>& before, const std::vector<uint8_t>& after) {
  for (size_t u = 0; u < before.size(); ++u) {
    if (after[u] > before[u]) return false;
  }
  return true;
}

/// Entries of a parameter's mask that would differ.
int64_t mask_changes(const nn::Parameter& parameter, const Tensor& mask) {
  const uint8_t* after = mask.data<uint8_t>();
  if (!parameter.masked()) return std::count(after, after + mask.numel(), uint8_t{0});
  const Tensor old = parameter.mask();
  const uint8_t* before = old.data<uint8_t>();
  int64_t changes = 0;
  for (int64_t i = 0; i < mask.numel(); ++i) changes += before[i] != after[i];
  return changes;
}

}  // namespace

std::vector<LayerReport> unchanged_layers(const std::vector<nn::NamedParameter>& all,
                                          const std::vector<nn::NamedParameter>& chosen) {
  std::vector<LayerReport> layers;
  for (const nn::NamedParameter& weight : all) {
    const bool is_chosen =
        std::any_of(chosen.begin(), chosen.end(), [&](const nn::NamedParameter& one) {
          return one.parameter == weight.parameter;
        });
    if (is_chosen) continue;
    layers.push_back({weight.name, weight.parameter->numel(), weight.parameter->nnz(), 0});
  }
  return layers;
}

MaskUpdate::MaskUpdate(nn::Module& model,
                       const LayerPatterns& pattern,
                       const PruneSettings& settings,
                       const PruneInputs& inputs,
                       const SiteRules& rules,
                       std::optional<std::vector<nn::NamedParameter>> only)
    : model_(&model), settings_(&settings), inputs_(&inputs), coupled_(pattern.coupled()) {
  weights_ = only ? *std::move(only) : prunable_weights(model, settings.exclude);
  sites_ = coupled_ ? channel_sites(model,
                                    trace_channels(model, sample_of(model, inputs)).groups(model),
                                    weights_,
                                    rules.single_producer_only,
                                    report_.notes)
                    : weight_sites(weights_, pattern, report_.notes);
  if (rules.refusal) {
    std::erase_if(sites_, [&](const Site& site) {
      const std::string refusal = rules.refusal(model, site);
      if (!refusal.empty()) report_.notes.push_back(cat(site.name, " stays as it is: ", refusal));
      return !refusal.empty();
    });
    ESPALIER_CHECK(!sites_.empty(), ValueError, "prune: no layer of the model may be pruned");
  }
  const bool structured = std::ranges::any_of(sites_, &Site::structured);
  if (structured) keep_outputs(flow(), sites_, report_.notes);
  for (const Site& site : sites_) alive_.push_back(site.alive());
  saves_outputs_.resize(sites_.size(), 0);
}

void MaskUpdate::compete_in_rows() {
  for (Site& site : sites_) {
    const bool single = site.cell.size == 0 && site.units == site.shape.numel();
    if (single) site.run = site.units / site.shape[0];
  }
}

std::vector<std::vector<double>> MaskUpdate::scores(Score& score,
                                                    Rng& rng,
                                                    const ScoredUpdate& update) {
  auto result = score.score_units(
      {*model_, weights_, *inputs_, rng, &report_.notes, nullptr, update}, sites_);
  const bool invert = settings_->ablation == Ablation::Invert;
  if ((score.keep() == Keep::Smallest) != invert) {
    for (auto& site : result) {
      for (double& value : site) value = -value;
    }
  }
  return result;
}

std::vector<std::vector<int64_t>> MaskUpdate::weights_of_units() const {
  std::vector<std::vector<int64_t>> weights;
  for (const Site& site : sites_) weights.push_back(site.unit_weights());
  return weights;
}

/// The sites as allocations see them; what is given must live as long.
std::vector<SiteScores> MaskUpdate::site_scores(
    const std::vector<std::vector<double>>& scores,
    const std::vector<std::vector<uint8_t>>& there,
    const std::vector<std::vector<int64_t>>& weights) const {
  std::vector<SiteScores> out;
  for (size_t s = 0; s < sites_.size(); ++s) {
    const Site& site = sites_[s];
    out.push_back({site.name,
                   site.shape,
                   site.units,
                   scores[s],
                   there[s],
                   weights[s],
                   least_units(site, *settings_)});
    out.back().kind = site.kind();
  }
  return out;
}

std::vector<int64_t> MaskUpdate::budgets(const std::vector<std::vector<double>>& scores,
                                         const Allocation& allocation,
                                         Sparsity target,
                                         const std::vector<std::vector<uint8_t>>& of_outputs) {
  const std::vector<std::vector<int64_t>> weights = weights_of_units();
  std::vector<SiteScores> views = site_scores(scores, alive_, weights);
  for (size_t s = 0; s < sites_.size(); ++s) {
    views[s].at_least = std::max(views[s].at_least, count(of_outputs[s]));
    views[s].first = of_outputs[s];
  }
  std::vector<int64_t> kept;
  if (coupled_) {
    ChannelWeights left(sites_, weights_);
    kept = allocation.keep_channels(views, target, left);
  } else {
    kept = keep_of_free_sites(sites_, views, allocation, target);
  }
  for (size_t s = 0; s < sites_.size(); ++s) {
    kept[s] = std::max(kept[s], views[s].at_least);
    if (coupled_) kept[s] = rounded_channels(kept[s], sites_[s].units, *settings_);
  }
  return kept;
}

/// Prunable weights where units compete, and those that are there.
std::pair<int64_t, int64_t> MaskUpdate::count_weights() const {
  if (coupled_) {
    ChannelWeights left(sites_, weights_);
    for (size_t s = 0; s < sites_.size(); ++s) {
      for (int64_t u = 0; u < sites_[s].units; ++u) {
        if (alive_[s][static_cast<size_t>(u)] == 0) left.remove(s, u);
      }
    }
    return {left.total(), left.left()};
  }
  int64_t total = 0;
  int64_t remaining = 0;
  const bool all_cells =
      std::ranges::all_of(sites_, [](const Site& site) { return site.cell.size > 0; });
  for (size_t s = 0; s < sites_.size(); ++s) {
    if (sites_[s].cell.size > 0 && !all_cells) continue;  // they have numbers of their own
    const std::vector<int64_t> weights = sites_[s].unit_weights();
    for (size_t u = 0; u < weights.size(); ++u) {
      total += weights[u];
      if (alive_[s][u] != 0) remaining += weights[u];
    }
  }
  return {total, remaining};
}

std::map<std::string, int64_t> MaskUpdate::divide(const std::vector<std::vector<double>>& scores,
                                                  const Allocation& allocation,
                                                  Sparsity target) {
  const std::vector<std::vector<uint8_t>> of_outputs(sites_.size());
  const std::vector<int64_t> kept = budgets(scores, allocation, target, of_outputs);
  std::map<std::string, int64_t> by_name;
  for (size_t s = 0; s < sites_.size(); ++s) {
    if (sites_[s].cell.size == 0) by_name[sites_[s].name] = kept[s];
  }
  return by_name;
}

Sparsity MaskUpdate::target_of(const Moment& moment) const {
  if (moment.of_remaining == 0.0) return moment.sparsity;
  const auto [total, remaining] = count_weights();
  const int64_t gone = guarded_ceil(moment.of_remaining * static_cast<double>(remaining));
  return total == 0
             ? moment.sparsity
             : Sparsity(static_cast<double>(total - remaining + gone) / static_cast<double>(total));
}

void MaskUpdate::choose(const std::vector<std::vector<double>>& scores,
                        const Allocation& allocation,
                        const Moment& moment,
                        const MaskGrowth& growth,
                        Rng& rng) {
  report_.step = moment.step;
  const Sparsity target = target_of(moment);
  report_.target = target;
  std::vector<std::vector<uint8_t>> of_outputs;
  for (size_t s = 0; s < sites_.size(); ++s) {
    of_outputs.push_back(units_of_outputs(sites_[s], scores[s], alive_[s]));
  }
  const bool some_die = growth.allocation != nullptr && moment.survivors < 1.0;
  const Sparsity before_growth =
      some_die ? Density(target.density().value() * moment.survivors).sparsity() : target;
  std::vector<int64_t> kept = budgets(scores, allocation, before_growth, of_outputs);
  tell_raised(scores, allocation, before_growth, kept, of_outputs);
  keep_.clear();
  for (size_t s = 0; s < sites_.size(); ++s) {
    const int64_t alive = count(alive_[s]);
    // One unit is rounding of the shares; more means that the model was sparser than the target.
    if (sites_[s].cell.size == 0 && kept[s] > alive + 1) {
      report_.notes.push_back(cat(
          sites_[s].name, " has only ", alive, " units left of the ", kept[s], " it should keep"));
    }
    const int64_t stay = std::min(kept[s], alive);
    const Sparsity own = sites_[s].cell.size == 0
                             ? before_growth
                             : target_in_cells(sites_[s].cell, moment, target, settings_->sparsity);
    keep_.push_back(best_units(sites_[s], scores[s], alive_[s], stay, own, of_outputs[s]));
    if (of_outputs[s].empty()) continue;
    saves_outputs_[s] |= keep_[s] != best_units(sites_[s], scores[s], alive_[s], stay, own, {});
  }
  if (settings_->ablation == Ablation::Shuffle) shuffle(rng);
  if (growth.growth != nullptr && (growth.allocation != nullptr || moment.moved > 0.0)) {
    move(scores, moment.moved, target, growth, rng);
  }
  make_masks();
  tell_reached(allocation.sparsity_of(coupled_));
}

void MaskUpdate::tell_reached(SparsityOf of) {
  const bool in_cells = std::any_of(
      sites_.begin(), sites_.end(), [](const Site& site) { return site.cell.size > 0; });
  report_.target_of = in_cells ? SparsityOf::Nothing : of;
  if (report_.target_of == SparsityOf::Weights) report_.reached = report_.sparsity();
  if (report_.target_of != SparsityOf::Channels) return;
  int64_t total = 0;
  int64_t kept = 0;
  for (const std::vector<uint8_t>& site : keep_) {
    total += static_cast<int64_t>(site.size());
    kept += count(site);
  }
  report_.reached =
      Sparsity(total == 0 ? 0.0 : static_cast<double>(total - kept) / static_cast<double>(total));
}

void MaskUpdate::adopt(const MaskUpdate& chosen, Rng& rng) {
  report_ = chosen.report_;
  keep_ = chosen.keep_;
  tell_outputs_of(chosen);
  if (settings_->ablation == Ablation::Shuffle) shuffle(rng);
  make_masks();
}

void MaskUpdate::make_masks() {
  masks_.clear();
  changed_.clear();
  for (size_t s = 0; s < sites_.size(); ++s) {
    for (const SitePart& part : sites_[s].parts) {
      Tensor& mask = masks_[part.parameter];
      if (!mask.defined()) {
        changed_.push_back(part.parameter);
        mask = part.parameter->masked() ? part.parameter->mask().clone()
                                        : Tensor::ones(part.parameter->shape(), DType::U8);
      }
    }
  }
  // What comes back first: an entry of two units lives where both do.
  for (const uint8_t lives : {1, 0}) {
    for (size_t s = 0; s < sites_.size(); ++s) {
      if (lives == 1 && nothing_comes_back(alive_[s], keep_[s])) continue;
      for (const SitePart& part : sites_[s].parts) {
        Tensor& mask = masks_.at(part.parameter);
        uint8_t* m = mask.data<uint8_t>();
        for (int64_t i = 0; i < mask.numel(); ++i) {
          const int64_t unit = part.units.unit(i);
          if (unit < 0) continue;
          const auto u = static_cast<size_t>(unit);
          if (keep_[s][u] == lives && (lives == 0 || alive_[s][u] == 0)) m[i] = lives;
        }
      }
    }
  }
  std::erase_if(changed_, [&](nn::Parameter* parameter) {
    return mask_changes(*parameter, masks_.at(parameter)) == 0;
  });
  report_.layers.clear();
  for (const nn::NamedParameter& weight : weights_) {
    const auto found = masks_.find(weight.parameter);
    LayerReport layer{weight.name, weight.parameter->numel(), weight.parameter->nnz(), 0};
    if (found != masks_.end()) {
      const uint8_t* m = found->second.data<uint8_t>();
      layer.kept = std::count(m, m + found->second.numel(), uint8_t{1});
      layer.changed = mask_changes(*weight.parameter, found->second);
    }
    report_.layers.push_back(layer);
  }
}

const FlowGraph* MaskUpdate::flow() {
  if (!flow_) flow_ = flow_of(*model_, *inputs_);
  return flow_.get();
}

void MaskUpdate::check() {
  check_collapse(
      flow(),
      [&](const nn::Parameter& parameter) { return mask_of(parameter); },
      *settings_,
      report_);
}

Tensor MaskUpdate::mask_of(const nn::Parameter& parameter) const {
  const auto planned =
      std::ranges::find_if(masks_, [&](const auto& one) { return one.first == &parameter; });
  return planned == masks_.end() ? parameter.mask() : planned->second;
}

void MaskUpdate::keep_units(std::vector<std::vector<uint8_t>> kept) {
  keep_ = std::move(kept);
  make_masks();
}

void MaskUpdate::tell_budget(const std::string& budget, Sparsity asked, Sparsity reached) {
  report_.budget = budget;
  report_.target = asked;
  report_.reached = reached;
  report_.target_of = SparsityOf::Budget;
}

void MaskUpdate::commit() {
  check();
  set_masks();
}

void MaskUpdate::set_masks() {
  for (nn::Parameter* parameter : changed_) parameter->set_mask(masks_.at(parameter));
}

}  // namespace espalier::prune
