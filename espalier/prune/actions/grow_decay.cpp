// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/prune/actions/actions.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/scores/score.h>
#include <espalier/prune/update/mask_update.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

class GrowDecay : public Action {
 public:
  GrowDecay(const GrowingDecayOptions& options,
            std::shared_ptr<Action> update,
            Sparsity sparsity,
            int64_t number)
      : options_(options),
        update_(std::move(update)),
        sparsity_(sparsity),
        number_(number),
        goes_(options.chosen ? options.chosen : std::make_shared<MasksByName>()) {
    ESPALIER_CHECK(options.from <= options.until && options.strength >= 0.0 &&
                       options.first >= 0.0 && options.power > 0.0,
                   ValueError,
                   "grow_decay: expects from <= until, strengths >= 0 and a power > 0, got ",
                   options.from,
                   ", ",
                   options.until,
                   ", ",
                   options.first,
                   ", ",
                   options.strength,
                   " and ",
                   options.power);
  }

  ActionFacts facts() const override { return {.needs_data = true}; }
  std::string refusal(const Pattern& pattern) const override { return update_->refusal(pattern); }
  void check(const Subject& subject) override { update_->check(subject); }

  void enter(const Subject& subject, nn::TrainState& state) override {
    goes_->clear();
    const std::unique_ptr<nn::Module> copy = subject.model.clone();
    if (options_.decayed == Decayed::All) {
      mark_units(subject, *copy, [](bool) { return false; });
      return;
    }
    const Moment moment{.step = state.step, .sparsity = sparsity_};
    update_->update({*copy, nullptr, subject.pattern, subject.settings, subject.inputs},
                    {&moment, 1},
                    {.number = number_});
    if (options_.decayed == Decayed::Units) {
      mark_units(subject, *copy, [](bool alive) { return alive; });
      return;
    }
    for (const nn::NamedParameter& one : copy->named_parameters()) {
      if (one.parameter->masked()) (*goes_)[one.name] = one.parameter->mask().clone();
    }
  }

  void after_backward(const Subject&, nn::TrainState& state) override {
    const double lambda = strength_at(state);
    if (lambda == 0.0 && options_.others == 0.0) return;
    for (const nn::NamedParameter& one : state.model.named_parameters()) {
      const auto found = goes_->find(one.name);
      if (found == goes_->end()) continue;
      const uint8_t* stays = found->second.data<uint8_t>();
      std::vector<double> amounts = one.parameter->value.value().to_vector<double>();
      for (size_t i = 0; i < amounts.size(); ++i)
        amounts[i] *= stays[i] != 0 ? options_.others : lambda;
      add_to_gradient(*one.parameter, amounts);
    }
  }

  std::map<std::string, Tensor> state() const override { return *goes_; }
  void load_state(const std::map<std::string, Tensor>& state) override {
    goes_->clear();
    for (const auto& [name, mask] : state) (*goes_)[name] = mask.clone();
  }

 private:
  /// Masks of the scored weights of all sites of a copy, by whether a unit is there.
  template <class Stays>
  void mark_units(const Subject& subject, nn::Module& copy, const Stays& stays) {
    const UpdateParts* parts = update_->parts();
    const MaskUpdate places(copy,
                            subject.pattern,
                            subject.settings,
                            subject.inputs,
                            parts != nullptr ? parts->sites : SiteRules{});
    for (const Site& site : places.sites()) {
      const std::vector<uint8_t> alive = site.alive();
      for (const SitePart& part : site.parts) {
        if (!part.scored) continue;
        Tensor& mask = (*goes_)[part.name];
        if (!mask.defined()) mask = Tensor::ones(part.parameter->shape(), DType::U8);
        for (int64_t i = 0; i < mask.numel(); ++i) {
          const int64_t unit = part.units.unit(i);
          if (unit < 0) continue;
          mask.data<uint8_t>()[i] = stays(alive[static_cast<size_t>(unit)] != 0) ? 1 : 0;
        }
      }
    }
  }

  double strength_at(const nn::TrainState& state) const {
    const auto total = static_cast<double>(state.total_steps);
    const double way = (options_.until - options_.from) * total;
    const double done = static_cast<double>(state.step) - options_.from * total;
    const double share = way > 0.0 ? std::clamp(done / way, 0.0, 1.0) : 1.0;
    return options_.first + (options_.strength - options_.first) * std::pow(share, options_.power);
  }

  GrowingDecayOptions options_;
  std::shared_ptr<Action> update_;
  Sparsity sparsity_;
  int64_t number_;
  std::shared_ptr<MasksByName> goes_;  // 0 for what will be removed
};

}  // namespace

std::shared_ptr<Action> grow_decay(const GrowingDecayOptions& options,
                                   std::shared_ptr<Action> update,
                                   Sparsity sparsity,
                                   int64_t number) {
  return std::make_shared<GrowDecay>(options, std::move(update), sparsity, number);
}

}  // namespace espalier::prune
