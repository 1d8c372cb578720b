// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/update/to_budget.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include <espalier/core/error.h>

namespace espalier::prune {
namespace {

constexpr int kMostHalvings = 60;
/// Measured times: so near is near enough, and the next measurement would tell no more.
constexpr double kNear = 0.01;
constexpr int kMostMeasurements = 14;

/// How much of the way to the end a moment has come: the sparsity of a search does not tell it.
double way_of(const Moment& moment, const PruneSettings& settings) {
  const double final = settings.final().value();
  return final == 0.0 ? 1.0 : moment.sparsity.value() / final;
}

/// Channels, filters, blocks: a few of which are a share of the budget.
bool of_several_weights(const Site& site) {
  return site.cell.size == 0 && site.units < site.shape.numel();
}

}  // namespace

bool has_budget(const Subject& subject) {
  return !subject.settings.target.empty() &&
         parse_target(subject.settings.target).kind != BudgetKind::Sparsity;
}

BudgetSearch::BudgetSearch(const Subject& subject)
    : model_(subject.model),
      target_(parse_target(subject.settings.target)),
      dense_(dense_copy(subject.model)),
      budget_(make_budget(target_.kind, *dense_, subject.inputs, subject.settings.latency_batch)),
      dense_cost_(budget_->cost(*dense_->clone())) {}

void BudgetSearch::find_prices() {
  const size_t parameters = model_.named_parameters().size();
  for (size_t p = 0; p < parameters; ++p) {
    prices_.push_back(0.0);
    const std::unique_ptr<nn::Module> copy = dense_->clone();
    nn::Parameter& parameter = *copy->named_parameters()[p].parameter;
    if (parameter.shape().rank() < 2 || parameter.numel() == 0) continue;
    Tensor mask = Tensor::ones(parameter.shape(), DType::U8);
    mask.data<uint8_t>()[0] = 0;
    parameter.set_mask(mask);
    prices_.back() = dense_cost_ - budget_->cost(*copy);
  }
}

MaskUpdate BudgetSearch::with(const MaskUpdate& update, const OfSite& one, uint8_t kept) {
  auto units = update.kept();
  units[one.site][one.unit] = kept;
  MaskUpdate changed = update;
  changed.keep_units(std::move(units));
  return changed;
}

double BudgetSearch::cost_of(const MaskUpdate& update) {
  return cost_under([&](const nn::Parameter& parameter) { return update.mask_of(parameter); });
}

double BudgetSearch::cost_under(const MaskOf& mask_of) {
  if (budget_->adds_up()) {
    if (prices_.empty()) find_prices();
    double cost = dense_cost_;
    const auto own = model_.named_parameters();
    for (size_t p = 0; p < own.size(); ++p) {
      if (prices_[p] == 0.0) continue;
      const Tensor mask = mask_of(*own[p].parameter);
      if (!mask.defined()) continue;
      const uint8_t* kept = mask.data<uint8_t>();
      const auto gone = std::count(kept, kept + mask.numel(), uint8_t{0});
      cost -= prices_[p] * static_cast<double>(gone);
    }
    return cost;
  }
  const std::unique_ptr<nn::Module> copy = dense_->clone();
  const auto own = model_.named_parameters();
  const auto copied = copy->named_parameters();
  for (size_t p = 0; p < own.size(); ++p) {
    const Tensor mask = mask_of(*own[p].parameter);
    if (mask.defined()) copied[p].parameter->set_mask(mask);
  }
  return budget_->cost(*copy);
}

void BudgetSearch::give_back(MaskUpdate& less,
                             const MaskUpdate& more,
                             const std::vector<std::vector<double>>& scores) {
  struct Unit {
    double score;
    size_t site, unit;
  };
  std::vector<Unit> units;
  for (size_t s = 0; s < scores.size(); ++s) {
    for (size_t u = 0; u < scores[s].size(); ++u) {
      if (more.kept()[s][u] > less.kept()[s][u]) units.push_back({scores[s][u], s, u});
    }
  }
  std::ranges::stable_sort(units, [](const Unit& a, const Unit& b) { return a.score > b.score; });
  const MaskUpdate start = less;
  const auto with_first = [&](size_t count) {
    auto kept = start.kept();
    for (size_t i = 0; i < count; ++i) kept[units[i].site][units[i].unit] = 1;
    MaskUpdate update = start;
    update.keep_units(std::move(kept));
    return update;
  };
  size_t fits = 0;
  size_t too_many = units.size() + 1;
  while (too_many - fits > 1) {
    const size_t middle = fits + (too_many - fits) / 2;
    if (cost_of(with_first(middle)) <= allowed_) {
      fits = middle;
    } else {
      too_many = middle;
    }
  }
  if (fits > 0) less = with_first(fits);
}

std::vector<size_t> BudgetSearch::open_sites(const MaskUpdate& whole, const MaskUpdate& least) {
  std::vector<size_t> open;
  for (size_t s = 0; s < whole.sites().size(); ++s) {
    const Site& site = whole.sites()[s];
    if (!of_several_weights(site) || !site.outputs.empty()) continue;
    // A layer with a number of its own has it at any sparsity.
    if (whole.kept()[s] != least.kept()[s]) open.push_back(s);
  }
  return open;
}

void BudgetSearch::give_back_singly(MaskUpdate& less,
                                    const MaskUpdate& whole,
                                    std::vector<size_t> open,
                                    const std::vector<std::vector<double>>& scores) {
  while (!open.empty()) {
    std::optional<OfSite> best;
    for (const size_t s : open) {
      for (size_t u = 0; u < scores[s].size(); ++u) {
        if (whole.kept()[s][u] <= less.kept()[s][u]) continue;
        if (!best || scores[s][u] > scores[best->site][best->unit]) best = OfSite{s, u};
      }
    }
    if (!best) return;
    MaskUpdate update = with(less, *best, 1);
    if (cost_of(update) <= allowed_) {
      less = std::move(update);
    } else {
      std::erase(open, best->site);
    }
  }
}

bool BudgetSearch::leaves_room(const MaskUpdate& less) {
  for (size_t s = 0; s < less.sites().size(); ++s) {
    if (!of_several_weights(less.sites()[s])) continue;
    const auto gone = std::ranges::find(less.kept()[s], uint8_t{0});
    if (gone == less.kept()[s].end()) continue;
    const auto unit = static_cast<size_t>(gone - less.kept()[s].begin());
    if (cost_of(with(less, {s, unit}, 1)) <= allowed_) return true;
  }
  return false;
}

void BudgetSearch::take_smaller_steps(MaskUpdate& less,
                                      MaskUpdate more,
                                      const MaskUpdate& least,
                                      std::vector<size_t> open,
                                      const std::vector<std::vector<double>>& scores) {
  const double cost_of_less = cost_of(less);
  while (!open.empty()) {
    std::optional<OfSite> worst;
    for (const size_t s : open) {
      if (std::ranges::count(more.kept()[s], 1) <= std::ranges::count(least.kept()[s], 1)) continue;
      for (size_t u = 0; u < scores[s].size(); ++u) {
        if (more.kept()[s][u] == 0) continue;
        if (!worst || scores[s][u] < scores[worst->site][worst->unit]) worst = OfSite{s, u};
      }
    }
    if (!worst) return;
    MaskUpdate update = with(more, *worst, 0);
    const double cost = cost_of(update);
    if (cost > allowed_) {
      more = std::move(update);
    } else if (cost > cost_of_less) {
      less = std::move(update);
      return;
    } else {
      std::erase(open, worst->site);
    }
  }
}

MaskUpdate BudgetSearch::run(const Choose& choose,
                             Sparsity removed,
                             Sparsity most,
                             const std::vector<std::vector<double>>& scores) {
  allowed_ = (1.0 - removed.value()) * dense_cost_;
  const bool last = removed.value() >= target_.removed();
  const auto finished = [&](MaskUpdate update, double at, double cost) {
    if (last && budget_->exact() && !scores.empty() && leaves_room(update)) {
      update.tell(
          cat("a unit more would fit into the target of ",
              name(target_.kind),
              ", but those that cost so little are of layers with a number of their own, or "
              "went in earlier rounds or before"));
    }
    sparsity_ = Sparsity(at);
    update.tell_budget(
        name(target_.kind), removed, Sparsity(std::max(0.0, 1.0 - cost / dense_cost_)));
    return update;
  };
  double low = 0.0;
  double high = most.value();
  MaskUpdate more = choose(Sparsity(low));
  if (const double cost = cost_of(more); cost <= allowed_) return finished(more, low, cost);
  const MaskUpdate whole = more;
  MaskUpdate less = choose(Sparsity(high));
  const MaskUpdate least = less;
  double cost = cost_of(less);
  ESPALIER_CHECK(
      cost <= allowed_,
      ValueError,
      "prune: ",
      name(target_.kind),
      " can't be brought to ",
      1.0 - removed.value(),
      " of the dense network's, only to ",
      cost / dense_cost_,
      ": the rest is of what may not go (excluded layers, min-per-layer, residual sums)");
  double at = high;
  const int halvings = budget_->exact() ? kMostHalvings : kMostMeasurements;
  for (int i = 0; i < halvings; ++i) {
    if (!budget_->exact() && std::abs(cost - allowed_) <= kNear * allowed_) break;
    const double middle = 0.5 * (low + high);
    MaskUpdate update = choose(Sparsity(middle));
    if (update.kept() == more.kept()) {
      low = middle;
      continue;
    }
    if (update.kept() == less.kept()) {
      high = middle;
      continue;
    }
    const double of_update = cost_of(update);
    const bool nearer = std::abs(of_update - allowed_) < std::abs(cost - allowed_);
    if (!budget_->exact() && nearer) {
      // A measurement above the target may be the nearest.
      less = update;
      cost = of_update;
      at = middle;
    }
    if (of_update <= allowed_) {
      high = middle;
      if (budget_->exact()) {
        less = std::move(update);
        cost = of_update;
        at = middle;
      }
    } else {
      low = middle;
      more = std::move(update);
    }
  }
  if (budget_->exact() && !scores.empty()) {
    give_back(less, more, scores);
    const std::vector<size_t> open = open_sites(whole, least);
    give_back_singly(less, whole, open, scores);
    // A last round, or one that went beyond it, in which hardly more goes than the one unit that is
    // too large.
    if ((last || cost_of(less) < asked()) && leaves_room(less)) {
      take_smaller_steps(less, more, least, open, scores);
      give_back_singly(less, whole, open, scores);
    }
    cost = cost_of(less);
  }
  return finished(std::move(less), at, cost);
}

void tell_cost(const Subject& subject, Sparsity removed, UpdateReport& report) {
  if (!has_budget(subject)) return;
  const Target target = parse_target(subject.settings.target);
  const std::unique_ptr<nn::Module> dense = dense_copy(*without_forms(subject.model));
  const auto budget =
      make_budget(target.kind, *dense, subject.inputs, subject.settings.latency_batch);
  const double whole = budget->cost(*dense->clone());
  report.budget = name(target.kind);
  report.target = removed;
  report.reached =
      Sparsity(std::clamp(1.0 - budget->cost(*subject.model.clone()) / whole, 0.0, 1.0));
  report.target_of = SparsityOf::Budget;
}

ToBudget choose_to_budget(const Subject& subject,
                          const MaskUpdate& start,
                          const std::vector<std::vector<double>>& scores,
                          const Allocation& allocation,
                          const Moment& moment,
                          const MaskGrowth& growth,
                          const Rng& rng,
                          bool give_back) {
  std::vector<SiteScores> layers;
  for (const Site& site : start.sites()) {
    layers.push_back({site.name, site.shape, site.units, {}, {}, {}});
  }
  BudgetSearch search(subject);
  MaskUpdate update = search.run(
      [&](Sparsity sparsity) {
        MaskUpdate candidate = start;
        Rng own = rng;
        Moment at = moment;
        at.sparsity = sparsity;
        at.way = way_of(moment, subject.settings);
        at.of_remaining = 0.0;
        candidate.choose(scores, allocation, at, growth, own);
        return candidate;
      },
      moment.sparsity,
      allocation.most(layers),
      give_back && subject.settings.round_channels_to <= 1 ? scores
                                                           : std::vector<std::vector<double>>());
  return {std::move(update), search.sparsity()};
}

}  // namespace espalier::prune
