// SPDX-License-Identifier: Apache-2.0
/// Drawing when settled: a choice that is watched before it is made.
///
/// Source: You, Li, Xu, Fu, Wang, Chen, Baraniuk, Wang, Lin, arXiv 1909.11957, algorithm 1: the
/// normalized Hamming distance of masks.
#include <algorithm>
#include <deque>

#include <fmt/format.h>

#include <espalier/prune/update/mask_update.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

constexpr const char* kDrawn = "drawn";
constexpr const char* kHighest = "highest_rate";
constexpr double kDropped = 0.5;  // of the highest learning rate so far: choices freeze then
constexpr const char* kLook = "look.";

using Choice = std::vector<uint8_t>;  // of all sites, one after another

double distance(const Choice& a, const Choice& b) {
  int64_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) different += a[i] != b[i] ? 1 : 0;
  return static_cast<double>(different) / static_cast<double>(std::max<size_t>(a.size(), 1));
}

class DrawWhenSettled : public Action {
 public:
  DrawWhenSettled(UpdateParts parts, const SettledOptions& options)
      : update_(mask_update(std::move(parts))), options_(options) {
    const UpdateParts& made = *update_->parts();
    ESPALIER_CHECK(made.score && !made.repair && !made.stages && !made.growth && !made.search,
                   NotImplemented,
                   "draw when settled: looks at what a score and an allocation choose alone");
    ESPALIER_CHECK(options.looks >= 2 && options.distance >= 0.0 && options.distance <= 1.0,
                   ValueError,
                   "draw when settled: expects at least 2 looks and a distance in 0 .. 1, got ",
                   options.looks,
                   " and ",
                   options.distance);
  }

  ActionFacts facts() const override {
    ActionFacts facts = update_->facts();
    facts.needs_data = true;  // what is compared is what a training makes of it
    return facts;
  }
  const UpdateParts* parts() const override { return update_->parts(); }
  std::string refusal(const Pattern& pattern) const override { return update_->refusal(pattern); }
  std::optional<std::string> target_refusal(const Target& target) const override {
    return update_->target_refusal(target);
  }
  void check(const Subject& subject) override { update_->check(subject); }
  void observe(nn::TrainState& state) override { update_->observe(state); }

  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber number) override {
    ESPALIER_CHECK(rounds.size() == 1, NotImplemented, "draw when settled: several at one step");
    if (drawn_) return as_it_is(subject, rounds.front());
    const double rate = subject.optimizer != nullptr ? subject.optimizer->lr() : 0.0;
    highest_ = std::max(highest_, rate);
    looks_.push_back(choice(subject, rounds.front(), number));
    if (static_cast<int64_t>(looks_.size()) > options_.looks) looks_.pop_front();
    double farthest = 0.0;
    for (const Choice& look : looks_) farthest = std::max(farthest, distance(look, looks_.back()));
    const bool full = static_cast<int64_t>(looks_.size()) == options_.looks;
    const bool settled = full && farthest <= options_.distance;
    const std::string found = fmt::format("{} of {} choices, the newest differs by up to {:.3f}",
                                          looks_.size(),
                                          options_.looks,
                                          farthest);
    if (!settled && !number.last) {
      UpdateReport report = as_it_is(subject, rounds.front());
      report.notes.push_back(found);
      return report;
    }
    drawn_ = true;
    looks_.clear();
    UpdateReport report = update_->update(subject, rounds, number);
    report.notes.push_back(settled ? "drawn: " + found
                                   : "drawn though it has not settled: " + found);
    if (settled && rate < kDropped * highest_) {
      report.notes.push_back(fmt::format(
          "the learning rate had fallen from {:.3g} to {:.3g}, under which any choice settles: "
          "this says nothing of how early it could have been drawn",
          highest_,
          rate));
    }
    return report;
  }

  std::map<std::string, Tensor> state() const override {
    std::map<std::string, Tensor> state = update_->state();
    state[kDrawn] = Tensor::full({}, drawn_ ? 1.0 : 0.0, DType::F64);
    state[kHighest] = Tensor::full({}, highest_, DType::F64);
    for (size_t i = 0; i < looks_.size(); ++i) {
      state[cat(kLook, i)] =
          Tensor::from<uint8_t>({static_cast<int64_t>(looks_[i].size())}, looks_[i]);
    }
    return state;
  }
  void load_state(const std::map<std::string, Tensor>& state) override {
    std::map<std::string, Tensor> own = state;
    const auto drawn = own.extract(kDrawn);
    drawn_ = !drawn.empty() && drawn.mapped().item() != 0.0;
    const auto highest = own.extract(kHighest);
    highest_ = highest.empty() ? 0.0 : highest.mapped().item();
    looks_.clear();
    for (int64_t i = 0; own.contains(cat(kLook, i)); ++i) {
      looks_.push_back(own.extract(cat(kLook, i)).mapped().to_vector<uint8_t>());
    }
    update_->load_state(own);
  }

 private:
  /// What the update would keep now.
  Choice choice(const Subject& subject, const Moment& moment, UpdateNumber number) const {
    const NoGrad no_grad;
    const UpdateParts& parts = *update_->parts();
    PruneSettings settings = subject.settings;
    if (settings.ablation == Ablation::Shuffle) settings.ablation = Ablation::None;  // of the draw
    if (!settings.allow_collapse) {
      settings.min_per_layer = std::max(settings.min_per_layer, parts.min_per_layer);
    }
    MaskUpdate look(subject.model, subject.pattern, settings, subject.inputs, parts.sites);
    Rng rng = Rng(subject.inputs.seed, "prune").fork(static_cast<uint64_t>(number.number));
    const auto scores = look.scores(*parts.score, rng);
    const auto allocation = named_allocation(parts.allocation, settings.layer_sparsity);
    look.choose(scores, *allocation, moment, {}, rng);
    Choice all;
    for (const std::vector<uint8_t>& site : look.kept()) {
      all.insert(all.end(), site.begin(), site.end());
    }
    return all;
  }

  static UpdateReport as_it_is(const Subject& subject, const Moment& moment) {
    UpdateReport report{.step = moment.step, .target = moment.sparsity};
    report.layers = unchanged_layers(prunable_weights(subject.model, subject.settings.exclude), {});
    return report;
  }

  std::shared_ptr<Action> update_;
  SettledOptions options_;
  std::deque<Choice> looks_;  // the newest last
  double highest_ = 0.0;      // learning rate at a look so far
  bool drawn_ = false;
};

}  // namespace

std::shared_ptr<Action> draw_when_settled(UpdateParts parts, const SettledOptions& options) {
  return std::make_shared<DrawWhenSettled>(std::move(parts), options);
}

}  // namespace espalier::prune
