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

}  // namespace

bool has_budget(const Subject& subject) {
  return !subject.settings.target.empty() &&
         parse_target(subject.settings.target).kind != BudgetKind::Sparsity;
}

BudgetSearch::BudgetSearch(const Subject& subject)
    : subject_(subject),
      target_(parse_target(subject.settings.target)),
      dense_(dense_copy(subject.model)),
      budget_(make_budget(target_.kind, *dense_, subject.inputs, subject.settings.latency_batch)),
      dense_cost_(budget_->cost(*dense_->clone())) {}

void BudgetSearch::find_prices() {
  const size_t parameters = subject_.model.named_parameters().size();
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

double BudgetSearch::cost_of(const MaskUpdate& update) {
  if (budget_->adds_up()) {
    if (prices_.empty()) find_prices();
    double cost = dense_cost_;
    const auto own = subject_.model.named_parameters();
    for (size_t p = 0; p < own.size(); ++p) {
      if (prices_[p] == 0.0) continue;
      const Tensor mask = update.mask_of(*own[p].parameter);
      if (!mask.defined()) continue;
      const uint8_t* kept = mask.data<uint8_t>();
      const auto gone = std::count(kept, kept + mask.numel(), uint8_t{0});
      cost -= prices_[p] * static_cast<double>(gone);
    }
    return cost;
  }
  const std::unique_ptr<nn::Module> copy = dense_->clone();
  const auto own = subject_.model.named_parameters();
  const auto copied = copy->named_parameters();
  for (size_t p = 0; p < own.size(); ++p) {
    const Tensor mask = update.mask_of(*own[p].parameter);
    if (mask.defined()) copied[p].parameter->set_mask(mask);
  }
  return budget_->cost(*copy);
}

void BudgetSearch::give_back(MaskUpdate& less,
                             const MaskUpdate& more,
                             const std::vector<std::vector<double>>& scores,
                             double asked) {
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
  const auto with = [&](size_t count) {
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
    if (cost_of(with(middle)) <= asked) {
      fits = middle;
    } else {
      too_many = middle;
    }
  }
  if (fits > 0) less = with(fits);
}

MaskUpdate BudgetSearch::run(const Choose& choose,
                             Sparsity removed,
                             Sparsity most,
                             const std::vector<std::vector<double>>& scores) {
  const double asked = (1.0 - removed.value()) * dense_cost_;
  const auto finished = [&](MaskUpdate update, double at, double cost) {
    sparsity_ = Sparsity(at);
    update.tell_budget(
        name(target_.kind), removed, Sparsity(std::max(0.0, 1.0 - cost / dense_cost_)));
    return update;
  };
  double low = 0.0;
  double high = most.value();
  MaskUpdate more = choose(Sparsity(low));
  if (const double cost = cost_of(more); cost <= asked) return finished(more, low, cost);
  MaskUpdate less = choose(Sparsity(high));
  double cost = cost_of(less);
  ESPALIER_CHECK(
      cost <= asked,
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
    if (!budget_->exact() && std::abs(cost - asked) <= kNear * asked) break;
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
    const bool nearer = std::abs(of_update - asked) < std::abs(cost - asked);
    if (!budget_->exact() && nearer) {
      // A measurement above the target may be the nearest.
      less = update;
      cost = of_update;
      at = middle;
    }
    if (of_update <= asked) {
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
    give_back(less, more, scores, asked);
    cost = cost_of(less);
  }
  return finished(std::move(less), at, cost);
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
      give_back ? scores : std::vector<std::vector<double>>());
  return {std::move(update), search.sparsity()};
}

}  // namespace espalier::prune
