// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/update/update.h>

#include <algorithm>

#include <espalier/prune/curvature/norm_statistics.h>
#include <espalier/prune/sites/collapse.h>
#include <espalier/prune/update/division.h>
#include <espalier/prune/update/mask_update.h>
#include <espalier/prune/update/reachable.h>
#include <espalier/prune/update/repaired.h>
#include <espalier/prune/update/searched.h>
#include <espalier/prune/update/to_budget.h>

namespace espalier::prune {
namespace {

const std::string kOfGrowth = "growth.";  // in a saved state

/// Sets the scored weights (not the shifts) of all units that don't stay to zero, by masks.
void mask_scored(const MaskUpdate& update) {
  for (size_t s = 0; s < update.sites().size(); ++s) {
    for (const SitePart& part : update.sites()[s].parts) {
      if (!part.scored) continue;
      Tensor mask = Tensor::ones(part.parameter->shape(), DType::U8);
      for (int64_t i = 0; i < mask.numel(); ++i) {
        const int64_t unit = part.units.unit(i);
        if (unit < 0) continue;
        mask.data<uint8_t>()[i] = update.kept()[s][static_cast<size_t>(unit)];
      }
      part.parameter->set_mask(mask);
    }
  }
}

/// Makes the weights dense again; what was removed is zero now, but trains.
void release(const std::vector<nn::NamedParameter>& weights) {
  for (const nn::NamedParameter& weight : weights) weight.parameter->set_mask({});
}

/// Masks of before the training would be released.
void check_dense(const std::vector<nn::NamedParameter>& weights) {
  for (const nn::NamedParameter& weight : weights) {
    ESPALIER_CHECK(!weight.parameter->masked(),
                   ValueError,
                   "prune: ",
                   weight.name,
                   " has a mask already, but this method starts from a dense network, because it "
                   "lets units come back. Exclude the layer, or choose another method.");
  }
}

/// The masks that an update has chosen for a model.
MasksByName masks_of(const MaskUpdate& update, nn::Module& model) {
  MasksByName masks;
  for (const nn::NamedParameter& one : model.named_parameters()) {
    const Tensor mask = update.mask_of(*one.parameter);
    if (mask.defined()) masks[one.name] = mask;
  }
  return masks;
}

class Update : public Action {
 public:
  explicit Update(UpdateParts parts) : parts_(std::move(parts)) {
    // Of what a repair can't serve, nothing is divided either.
    if (chooses_layer_by_layer()) {
      parts_.sites.refusal = [repair = parts_.repair, other = parts_.sites.refusal](
                                 nn::Module& model, const Site& site) {
        const std::string why = other ? other(model, site) : std::string();
        return why.empty() ? repair->refusal(site) : why;
      };
    }
    if (parts_.search && !parts_.allocation) {
      parts_.allocation = ratio_allocation({}, Ratios::Scaled);
    }
    ESPALIER_CHECK((parts_.score || chooses_layer_by_layer()) && parts_.allocation,
                   ValueError,
                   "mask_update: needs a score or a repair that chooses, and an allocation or a "
                   "search");
    ESPALIER_CHECK(!parts_.search || (parts_.score && !parts_.repair && !parts_.stages),
                   NotImplemented,
                   "mask_update: a search judges whole networks, not layers one after another");
    ESPALIER_CHECK(parts_.growth || !parts_.growth_allocation,
                   ValueError,
                   "mask_update: has a growth allocation, but nothing grows");
    const bool plain = !parts_.stages && parts_.effect == Effect::Remove;
    ESPALIER_CHECK(!parts_.repair || plain,
                   ValueError,
                   "mask_update: a repair goes with what is removed at once, not with stages or "
                   "another effect");
  }

  ActionFacts facts() const override {
    const bool reads =
        parts_.repair || parts_.search || (parts_.score && needs_data(parts_.score->needs())) ||
        (parts_.division && needs_data(parts_.division->needs())) ||
        (parts_.growth && (parts_.growth->observes() || needs_data(parts_.growth->needs())));
    return {.needs_data = reads,
            .global = (parts_.growth_allocation ? parts_.growth_allocation : parts_.allocation)
                          ->looks_at_scores(),
            .revives = parts_.growth != nullptr || parts_.candidates == Candidates::All ||
                       parts_.effect != Effect::Remove,
            .divides = true};
  }

  const UpdateParts* parts() const override { return &parts_; }

  std::optional<std::string> target_refusal(const Target&) const override { return std::string(); }

  std::string refusal(const Pattern& pattern) const override {
    return parts_.repair ? parts_.repair->refusal(pattern) : std::string();
  }

  void check(const Subject& subject) override {
    if (!parts_.score || has_budget(subject)) return;  // found out when its moment comes
    const PruneSettings settings = settings_of(subject);
    MaskUpdate first = begin(subject, settings);
    check_reachable(first.sites(),
                    first.weights(),
                    first.flow(),
                    subject.pattern.coupled(),
                    parts_.allocation.get(),
                    settings);
  }

  bool needs_gradients(const Moment& moment) const override {
    const bool grows = moment.moved > 0.0 || parts_.growth_allocation;
    return grows && parts_.growth && parts_.growth->needs() == ScoreNeeds::Gradients;
  }

  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber number) override {
    const NoGrad no_grad;
    const PruneSettings settings = settings_of(subject);
    UpdateReport report = update_model(subject, settings, rounds, number);
    // Where numbers were settled before, what they came to was not told.
    if (report.budget.empty()) tell_cost(subject, rounds.back().sparsity, report);
    const bool changed = std::ranges::any_of(
        report.layers, [](const LayerReport& layer) { return layer.changed > 0; });
    if (parts_.norm_batches > 0 && changed) {
      recalibrate_batch_norm(
          subject.model, calibration_batches(subject.inputs), parts_.norm_batches);
    }
    if (number.last && settings.ablation == Ablation::Reinit) {
      set_fresh_values(subject.model, subject.inputs, 1);
      if (subject.optimizer != nullptr) subject.optimizer->load_state_dict({});
    }
    if (subject.optimizer != nullptr && parts_.effect != Effect::Zero) {
      subject.optimizer->clear_masked_state();
    }
    return report;
  }

  bool observes_dense_gradients() const override {
    return parts_.growth && parts_.growth->observes();
  }
  void observe(nn::TrainState& state) override {
    if (parts_.score) parts_.score->observe(state);
    if (parts_.growth) parts_.growth->observe(state);
  }
  std::map<std::string, Tensor> state() const override {
    std::map<std::string, Tensor> all;
    if (parts_.score) all = parts_.score->state();
    if (!parts_.growth) return all;
    for (const auto& [name, tensor] : parts_.growth->state()) all[kOfGrowth + name] = tensor;
    return all;
  }
  void load_state(const std::map<std::string, Tensor>& state) override {
    std::map<std::string, Tensor> of_score;
    std::map<std::string, Tensor> of_growth;
    for (const auto& [name, tensor] : state) {
      const bool grows = name.starts_with(kOfGrowth);
      (grows ? of_growth[name.substr(kOfGrowth.size())] : of_score[name]) = tensor;
    }
    if (parts_.score) parts_.score->load_state(of_score);
    if (parts_.growth) parts_.growth->load_state(of_growth);
  }

 private:
  UpdateReport update_model(const Subject& subject,
                            const PruneSettings& settings,
                            std::span<const Moment> rounds,
                            UpdateNumber number) {
    if (!parts_.repair && !parts_.stages) return update_at_once(subject, settings, rounds, number);
    ESPALIER_CHECK(rounds.size() == 1,
                   NotImplemented,
                   "prune: several rounds at one step, and new values for what stays or layer by "
                   "layer");
    if (parts_.repair && !chooses_layer_by_layer()) {
      return update_at_once(subject, settings, rounds, number);
    }
    const Division division(
        parts_, subject, begin(subject, settings), rounds.front(), rng_of(subject, number.number));
    const Moment& moment = division.moment();
    const std::shared_ptr<const Allocation> allocation = division.allocation();
    return parts_.repair ? repaired_update(parts_, *allocation, subject, settings, moment)
                         : update_in_stages(*allocation, subject, settings, moment, number);
  }

  bool chooses_layer_by_layer() const { return parts_.repair && parts_.repair->chooses(); }

  /// Masks what was not chosen, after what stays has made up for it.
  UpdateReport remove(MaskUpdate& update, const Subject& subject, Sparsity target) const {
    update.check();
    UpdateReport report = update.report();
    if (parts_.repair) {
      const RepairContext context{subject.model,
                                  nullptr,
                                  subject.pattern.common(),
                                  subject.inputs,
                                  subject.settings,
                                  target,
                                  &report.notes};
      parts_.repair->refit(context, update.sites(), update.kept());
    }
    update.set_masks();
    return report;
  }

  static bool needs_data(ScoreNeeds needs) {
    return needs == ScoreNeeds::Gradients || needs == ScoreNeeds::Activations;
  }

  PruneSettings settings_of(const Subject& subject) const {
    PruneSettings settings = subject.settings;
    if (!settings.allow_collapse) {
      settings.min_per_layer = std::max(settings.min_per_layer, parts_.min_per_layer);
      settings.max_layer_sparsity = Sparsity(
          std::min(settings.max_layer_sparsity.value(), parts_.max_layer_sparsity.value()));
      // What has no channel left can't be cut out, and so not be counted.
      if (has_budget(subject) && subject.pattern.coupled()) {
        settings.min_per_layer = std::max<int64_t>(settings.min_per_layer, 1);
      }
    }
    return settings;
  }

  MaskUpdate begin(const Subject& subject,
                   const PruneSettings& settings,
                   std::optional<std::vector<nn::NamedParameter>> only = {}) const {
    return {
        subject.model, subject.pattern, settings, subject.inputs, parts_.sites, std::move(only)};
  }

  static Rng rng_of(const Subject& subject, int64_t number) {
    return Rng(subject.inputs.seed, "prune").fork(static_cast<uint64_t>(number));
  }

  /// `settled`: what every site keeps, if that is known; null: the update's own allocation says.
  void run_round(MaskUpdate& update,
                 const Allocation* settled,
                 const Subject& subject,
                 const Moment& moment,
                 const ScoredUpdate& scored) const {
    const Rng of_update = rng_of(subject, scored.number);
    Rng rng = of_update;
    if (parts_.compete_in_rows) update.compete_in_rows();
    const auto scores = update.scores(*parts_.score, rng, scored);
    std::vector<std::string> notes;
    const std::string& named = subject.settings.layer_sparsity;
    const auto grown =
        parts_.growth_allocation ? named_allocation(parts_.growth_allocation, named) : nullptr;
    const MaskGrowth growth{parts_.growth.get(), grown.get()};
    if (settled != nullptr) {
      update.choose(scores, *settled, moment, growth, rng);
      return;
    }
    const std::shared_ptr<const Allocation> found =
        parts_.search
            ? searched_allocation(parts_, subject, update, scores, moment, of_update, notes)
            : parts_.allocation;
    const bool survives_anyway = grown && !found->heeds_target();
    const std::shared_ptr<const Allocation> allocation =
        survives_anyway ? found : named_allocation(found, named);
    for (std::string& note : notes) update.tell(std::move(note));
    if (!has_budget(subject)) {
      update.choose(scores, *allocation, moment, growth, rng);
      return;
    }
    ESPALIER_CHECK(
        (grown ? grown : allocation)->heeds_target(),
        ValueError,
        "prune: a target of ",
        subject.settings.target,
        " needs an update that heeds it, but here a threshold on the scores decides what "
        "goes. Choose another allocation or selection");
    const bool nested = subject.settings.ablation != Ablation::Shuffle && moment.moved == 0.0 &&
                        !parts_.growth_allocation && !parts_.compete_in_rows;
    update =
        choose_to_budget(subject, update, scores, *allocation, moment, growth, rng, nested).update;
  }

  UpdateReport update_at_once(const Subject& subject,
                              const PruneSettings& settings,
                              std::span<const Moment> rounds,
                              UpdateNumber number) {
    if (parts_.candidates == Candidates::All) {
      const auto weights = prunable_weights(subject.model, settings.exclude);
      if (number.number == 0) check_dense(weights);
      release(weights);
    }
    MaskUpdate update = begin(subject, settings);
    ESPALIER_CHECK(!parts_.division || rounds.size() == 1,
                   NotImplemented,
                   "prune: several rounds at one step, and an allocation with scores of its own");
    if (parts_.division) {
      const Rng rng = rng_of(subject, number.number);
      const Division division(parts_, subject, update, rounds.front(), rng);
      const std::shared_ptr<const Allocation> settled = division.allocation();
      run_round(update, settled.get(), subject, division.moment(), {.number = number.number});
    } else if (rounds.size() == 1) {
      run_round(update, nullptr, subject, rounds.front(), {.number = number.number});
    } else {
      // On a copy: what a round removes is zero from then on, but a shuffled mask may keep it, and
      // it has its value still where later rounds choose among all.
      const std::unique_ptr<nn::Module> copy = subject.model.clone();
      const Subject of_copy{*copy, nullptr, subject.pattern, subject.settings, subject.inputs};
      PruneSettings plain = settings;
      if (plain.ablation == Ablation::Shuffle) plain.ablation = Ablation::None;
      MasksByName masks;
      for (size_t r = 0; r < rounds.size(); ++r) {
        MaskUpdate round = begin(of_copy, plain);
        run_round(round,
                  nullptr,
                  of_copy,
                  rounds[r],
                  {.number = number.number + static_cast<int64_t>(r),
                   .masks = masks.empty() ? nullptr : &masks});
        if (parts_.candidates == Candidates::All) {
          masks = masks_of(round, *copy);
        } else {
          round.set_masks();
        }
        update.tell_outputs_of(round);
        if (r + 1 < rounds.size()) continue;
        Rng rng = rng_of(subject, number.number);
        update.adopt(round, rng);
      }
    }
    if (parts_.effect == Effect::Remove) return remove(update, subject, rounds.back().sparsity);
    update.check();
    mask_scored(update);
    if (parts_.effect == Effect::Zero) release(update.weights());
    return update.report();
  }

  UpdateReport update_in_stages(const Allocation& allocation,
                                const Subject& subject,
                                const PruneSettings& settings,
                                const Moment& moment,
                                UpdateNumber number) const {
    nn::Module& model = subject.model;
    const std::vector<nn::NamedParameter> all = prunable_weights(model, settings.exclude);
    UpdateReport report{.step = moment.step, .target = moment.sparsity};
    const std::vector<nn::NamedParameter> weights =
        fitting_weights(all, subject.pattern, report.notes);
    report.layers = unchanged_layers(all, weights);
    const auto batches = calibration_batches(subject.inputs);
    const WeightKeeper keeper(weights);
    try {
      for (const auto& stage : calibration_stages(model, weights, batches(0), *parts_.stages)) {
        MaskUpdate update = begin(subject, settings, stage);
        run_round(update, &allocation, subject, moment, {.number = number.number});
        update.set_masks();
        const UpdateReport part = update.report();
        report.layers.insert(report.layers.end(), part.layers.begin(), part.layers.end());
        for (const std::string& note : part.notes) add_note(report.notes, note);
      }
      const std::shared_ptr<const FlowGraph> flow = flow_of(model, subject.inputs);
      check_collapse(
          flow.get(), [](const nn::Parameter& one) { return one.mask(); }, settings, report);
    } catch (...) {
      keeper.restore();
      throw;
    }
    if (!subject.pattern.any_cells()) report.target_of = SparsityOf::Weights;
    report.reached = report.sparsity();
    return report;
  }

  UpdateParts parts_;
};

}  // namespace

std::shared_ptr<Action> mask_update(UpdateParts parts) {
  return std::make_shared<Update>(std::move(parts));
}

std::optional<UpdateParts> last_update_of(const Timeline& timeline) {
  std::optional<UpdateParts> last;
  for (const Event& event : timeline.events) {
    if (const UpdateParts* parts = event.action->parts()) last = *parts;
  }
  return last;
}

}  // namespace espalier::prune
