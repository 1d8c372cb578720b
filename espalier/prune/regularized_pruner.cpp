// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/reachable.h>
#include <espalier/prune/regularized_pruner.h>

namespace espalier::prune {

Option prune_at_option() {
  return real_option("prune-at",
                     0.5,
                     0.0,
                     1.0,
                     "fraction of training",
                     "end of the regularized phase; what follows is fine-tuning");
}

RegularizedPruner::RegularizedPruner(double prune_at,
                                     std::shared_ptr<const Pattern> pattern,
                                     PruneSettings settings,
                                     PruneInputs inputs)
    : prune_at_(prune_at),
      pattern_(std::move(pattern)),
      settings_(std::move(settings)),
      inputs_(std::move(inputs)) {
  check_sparsity(*pattern_, settings_.sparsity);
  ESPALIER_CHECK(settings_.ablation != Ablation::Reinit,
                 NotImplemented,
                 "prune: ablation reinit of a method that regularizes before it prunes");
}

void RegularizedPruner::before_training(nn::TrainState& state) {
  if (const auto allocation = planned_allocation()) {
    const PruneInputs inputs = inputs_of_training(inputs_, state);
    MaskUpdate first(state.model, *pattern_, settings_, inputs, false);
    check_reachable(first.sites(), first.flow(), pattern_->coupled(), allocation.get(), settings_);
  }
  begin(state);
  prune_when_due(state);
}

void RegularizedPruner::before_step(nn::TrainState& state) {
  prune_when_due(state);
  if (!pruned_) enter_step(state);
}

void RegularizedPruner::after_backward(nn::TrainState& state) {
  if (!pruned_) add_penalty(state);
}

void RegularizedPruner::after_step(nn::TrainState& state) {
  if (!pruned_) leave_step(state);
}

void RegularizedPruner::end_of_training(nn::TrainState& state) {
  prune_when_due(state);
}

void RegularizedPruner::prune_when_due(nn::TrainState& state) {
  const int64_t due = guarded_floor(prune_at_ * static_cast<double>(state.total_steps));
  if (pruned_ || state.step < due) return;
  prune(state);
  pruned_ = true;
}

std::map<std::string, Tensor> RegularizedPruner::state() const {
  std::map<std::string, Tensor> state;
  if (!pruned_) state = phase_state();
  state["pruned"] = Tensor::scalar(pruned_ ? 1.0 : 0.0, DType::I64);
  return state;
}

void RegularizedPruner::load_state(const std::map<std::string, Tensor>& state) {
  const auto pruned = state.find("pruned");
  ESPALIER_CHECK(
      pruned != state.end(), ValueError, "RegularizedPruner: the saved state has no 'pruned'");
  pruned_ = pruned->second.item() != 0.0;
  if (pruned_) return;
  std::map<std::string, Tensor> own = state;
  own.erase("pruned");
  load_phase_state(own);
}

void RegularizedPruner::remove_units(nn::TrainState& state,
                                     const PruneSettings& settings,
                                     Score& score,
                                     const Allocation& allocation,
                                     bool single_producer_only) {
  const NoGrad no_grad;
  Rng rng = Rng(inputs_.seed, "prune").fork(0);
  const PruneInputs inputs = inputs_of_training(inputs_, state);
  MaskUpdate update(state.model, *pattern_, settings, inputs, single_producer_only);
  const auto scores = update.scores(score, rng);
  update.choose(
      scores, allocation, {.step = state.step, .sparsity = settings.sparsity}, nullptr, rng);
  update.commit();
  state.optimizer.clear_masked_state();
  record(update.report(), true);
}

std::vector<Site> RegularizedPruner::find_sites(const nn::TrainState& state,
                                                bool single_producer_only) const {
  const PruneInputs inputs = inputs_of_training(inputs_, state);
  return MaskUpdate(state.model, *pattern_, settings_, inputs, single_producer_only).sites();
}

}  // namespace espalier::prune
