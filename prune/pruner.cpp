// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/calibration/layer_inputs.h>
#include <espalier/prune/mask_update.h>
#include <espalier/prune/recovery/recovery.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

Sparsity fraction_removed(int64_t total, int64_t kept) {
  return total == 0 ? Sparsity(0.0)
                    : Sparsity(static_cast<double>(total - kept) / static_cast<double>(total));
}

}  // namespace

Sparsity LayerReport::sparsity() const {
  return fraction_removed(total, kept);
}

int64_t UpdateReport::total() const {
  int64_t sum = 0;
  for (const LayerReport& layer : layers) sum += layer.total;
  return sum;
}

int64_t UpdateReport::kept() const {
  int64_t sum = 0;
  for (const LayerReport& layer : layers) sum += layer.kept;
  return sum;
}

Sparsity UpdateReport::sparsity() const {
  return fraction_removed(total(), kept());
}

void Pruner::record(UpdateReport report) {
  updates_.push_back(std::move(report));
  if (on_update) on_update(updates_.back());
}

Recipe::Recipe() = default;
Recipe::Recipe(Recipe&&) noexcept = default;
Recipe& Recipe::operator=(Recipe&&) noexcept = default;
Recipe::~Recipe() = default;

MaskPruner::MaskPruner(Recipe recipe,
                       std::shared_ptr<const Pattern> pattern,
                       PruneSettings settings,
                       PruneInputs inputs)
    : recipe_(std::move(recipe)),
      pattern_(std::move(pattern)),
      settings_(std::move(settings)),
      inputs_(std::move(inputs)) {
  ESPALIER_CHECK(recipe_.score && recipe_.allocation && recipe_.schedule && pattern_,
                 ValueError,
                 "MaskPruner: a recipe needs a score, a pattern, an allocation and a schedule");
  check_sparsity(*pattern_, settings_.sparsity);
  ESPALIER_CHECK(settings_.ablation != Ablation::Reinit || inputs_.fresh_model,
                 ValueError,
                 "prune: ablation reinit needs PruneInputs::fresh_model");
}

MaskPruner::~MaskPruner() = default;

void MaskPruner::before_training(nn::TrainState& state) {
  run_due_updates(state);
}

void MaskPruner::before_step(nn::TrainState& state) {
  run_due_updates(state);
  if (recipe_.recovery) recipe_.recovery->before_step(state);
}

void MaskPruner::after_backward(nn::TrainState& state) {
  recipe_.score->observe(state);
}

void MaskPruner::end_of_training(nn::TrainState& state) {
  run_due_updates(state);
}

std::optional<int64_t> MaskPruner::rewind(nn::TrainState& state) {
  if (!recipe_.recovery) return std::nullopt;
  const auto plan = recipe_.schedule->updates(state.total_steps, settings_.sparsity);
  const auto planned = static_cast<int64_t>(plan.size());
  if (next_update_ == planned) return std::nullopt;
  const bool last = next_update_ + 1 == planned;
  run(state, plan[static_cast<size_t>(next_update_)], false);
  const int64_t step = recipe_.recovery->start_round(state, inputs_, next_update_);
  // The control of a ticket: its last training, from other weights.
  if (last && settings_.ablation == Ablation::Reinit) set_fresh_values(state.model, inputs_, 1);
  return step;
}

int64_t MaskPruner::repeated_steps(int64_t total_steps) const {
  if (!recipe_.recovery) return 0;
  const auto rounds = recipe_.schedule->updates(total_steps, settings_.sparsity).size();
  return static_cast<int64_t>(rounds) * (total_steps - recipe_.recovery->first_step(total_steps));
}

void MaskPruner::run_due_updates(nn::TrainState& state) {
  if (recipe_.recovery) return;
  const auto plan = recipe_.schedule->updates(state.total_steps, settings_.sparsity);
  const auto planned = static_cast<int64_t>(plan.size());
  while (next_update_ < planned && plan[static_cast<size_t>(next_update_)].step <= state.step) {
    run(state, plan[static_cast<size_t>(next_update_)], next_update_ + 1 == planned);
  }
}

void MaskPruner::run(nn::TrainState& state, const ScheduledUpdate& planned, bool last) {
  PruneInputs inputs = inputs_;
  if (!inputs.batch && state.loader != nullptr) inputs.batch = batches_like(*state.loader);
  record(update(state.model, &state.optimizer, inputs, planned, last));
  ++next_update_;
}

UpdateReport MaskPruner::prune(nn::Module& model,
                               nn::Optimizer* optimizer,
                               Sparsity target,
                               int64_t step) {
  return update(model, optimizer, inputs_, {.step = step, .sparsity = target}, true);
}

UpdateReport MaskPruner::update(nn::Module& model,
                                nn::Optimizer* optimizer,
                                const PruneInputs& inputs,
                                const ScheduledUpdate& planned,
                                bool last) {
  const NoGrad no_grad;
  Rng rng = Rng(inputs.seed, "prune").fork(static_cast<uint64_t>(next_update_));
  UpdateReport report = recipe_.stages ? update_in_stages(model, inputs, planned, rng)
                                       : update_weights(model, inputs, planned, rng, std::nullopt);
  if (last && settings_.ablation == Ablation::Reinit) set_fresh_values(model, inputs, 1);
  if (optimizer != nullptr) optimizer->clear_masked_state();
  return report;
}

UpdateReport MaskPruner::update_weights(nn::Module& model,
                                        const PruneInputs& inputs,
                                        const ScheduledUpdate& planned,
                                        Rng& rng,
                                        std::optional<std::vector<ScoredWeight>> only) {
  MaskUpdate update(
      model, *pattern_, settings_, inputs, recipe_.single_producer_only, std::move(only));
  if (recipe_.compete_in_rows) update.compete_in_rows();
  const auto scores = update.scores(*recipe_.score, rng);
  update.choose(scores, *recipe_.allocation, planned, recipe_.regrowth.get(), rng);
  update.commit();
  return update.report();
}

UpdateReport MaskPruner::update_in_stages(nn::Module& model,
                                          const PruneInputs& inputs,
                                          const ScheduledUpdate& planned,
                                          Rng& rng) {
  const std::vector<ScoredWeight> all = prunable_weights(model, settings_.exclude);
  UpdateReport report{.step = planned.step, .target = planned.sparsity};
  const std::vector<ScoredWeight> weights = fitting_weights(all, *pattern_, report.notes);
  report.layers = unchanged_layers(all, weights);
  const auto batches = calibration_batches(inputs, nullptr);
  const WeightKeeper keeper(weights);
  try {
    for (const auto& stage : calibration_stages(model, weights, batches(0), *recipe_.stages)) {
      const UpdateReport part = update_weights(model, inputs, planned, rng, stage);
      report.layers.insert(report.layers.end(), part.layers.begin(), part.layers.end());
      report.notes.insert(report.notes.end(), part.notes.begin(), part.notes.end());
    }
  } catch (...) {
    keeper.restore();
    throw;
  }
  return report;
}

std::map<std::string, Tensor> MaskPruner::state() const {
  std::map<std::string, Tensor> state = {
      {"updates", Tensor::scalar(static_cast<double>(next_update_), DType::I64)}};
  for (const auto& [name, tensor] : recipe_.score->state()) state["score." + name] = tensor;
  if (recipe_.recovery) {
    for (const auto& [name, tensor] : recipe_.recovery->state()) {
      state["recovery." + name] = tensor;
    }
  }
  return state;
}

void MaskPruner::load_state(const std::map<std::string, Tensor>& state) {
  const auto updates = state.find("updates");
  ESPALIER_CHECK(
      updates != state.end(), ValueError, "MaskPruner: the saved state has no 'updates'");
  next_update_ = static_cast<int64_t>(updates->second.item());
  std::map<std::string, Tensor> of_score;
  std::map<std::string, Tensor> of_recovery;
  for (const auto& [name, tensor] : state) {
    if (name.starts_with("score.")) of_score[name.substr(6)] = tensor;
    if (name.starts_with("recovery.")) of_recovery[name.substr(9)] = tensor;
  }
  recipe_.score->load_state(of_score);
  if (recipe_.recovery) recipe_.recovery->load_state(of_recovery);
}

}  // namespace espalier::prune
