// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <espalier/prune/calibration/layer_inputs.h>
#include <espalier/prune/collapse.h>
#include <espalier/prune/mask_update.h>
#include <espalier/prune/reachable.h>
#include <espalier/prune/recovery/recovery.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

Sparsity fraction_removed(int64_t total, int64_t kept) {
  return total == 0 ? Sparsity(0.0)
                    : Sparsity(static_cast<double>(total - kept) / static_cast<double>(total));
}

/// Unless it is there: stages say the same of what they share.
void add_note(std::vector<std::string>& notes, const std::string& note) {
  if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
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

void Pruner::record(UpdateReport report, bool last) {
  constexpr double kWorthTelling = 0.01;
  const double missing = std::abs(report.reached.value() - report.target.value());
  if (last && report.target_of != SparsityOf::Nothing && missing > kWorthTelling) {
    report.notes.push_back(
        fmt::format("asked for sparsity {:.4f}{}, reached {:.4f}",
                    report.target.value(),
                    report.target_of == SparsityOf::Channels ? " of the channels" : "",
                    report.reached.value()));
  }
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
  // What comes at the first step finds out for itself.
  if (const auto updates = plan(state); !updates.empty() && updates.back().step > state.step) {
    const PruneInputs inputs = inputs_of_training(inputs_, state);
    MaskUpdate first(state.model, *pattern_, settings_, inputs, recipe_.single_producer_only);
    check_reachable(
        first.sites(), first.flow(), pattern_->coupled(), recipe_.allocation.get(), settings_);
  }
  run_due_updates(state);
}

void MaskPruner::before_step(nn::TrainState& state) {
  run_due_updates(state);
  request_gradients(state);
  if (recipe_.recovery) recipe_.recovery->before_step(state);
}

void MaskPruner::after_backward(nn::TrainState& state) {
  recipe_.score->observe(state);
  if (requested_.empty()) return;
  for (const auto& [parameter, request] : requested_) parameter->grad_request = request;
  requested_.clear();
  const auto updates = plan(state);
  const auto next = updates.begin() + next_update_;
  run(state, {next, 1}, next + 1 == updates.end());
  state.model.zero_grad();  // the optimizer leaves parameters without gradient alone
}

void MaskPruner::end_of_training(nn::TrainState& state) {
  run_due_updates(state);
}

std::optional<int64_t> MaskPruner::rewind(nn::TrainState& state) {
  if (!recipe_.recovery) return std::nullopt;
  const auto updates = plan(state);
  const auto planned = static_cast<int64_t>(updates.size());
  if (next_update_ == planned) return std::nullopt;
  const bool last = next_update_ + 1 == planned;
  run(state, {updates.begin() + next_update_, 1}, false);
  const int64_t step = recipe_.recovery->start_round(state, inputs_, next_update_);
  // The control of a ticket: its last training, from other weights.
  if (last && settings_.ablation == Ablation::Reinit) set_fresh_values(state.model, inputs_, 1);
  return step;
}

int64_t MaskPruner::rounds(int64_t total_steps) const {
  return static_cast<int64_t>(recipe_.schedule->updates(total_steps, settings_.sparsity).size());
}

int64_t MaskPruner::repeated_steps(int64_t total_steps) const {
  if (!recipe_.recovery) return 0;
  return rounds(total_steps) * (total_steps - recipe_.recovery->first_step(total_steps));
}

int64_t MaskPruner::repeated_epochs(int64_t total_steps, int64_t steps_per_epoch) const {
  if (!recipe_.recovery || steps_per_epoch == 0) return 0;
  const int64_t steps = total_steps - recipe_.recovery->first_step(total_steps);
  return rounds(total_steps) * ((steps + steps_per_epoch - 1) / steps_per_epoch);
}

std::vector<ScheduledUpdate> MaskPruner::plan(const nn::TrainState& state) const {
  return recipe_.schedule->plan(
      {.steps = state.total_steps, .steps_per_epoch = state.steps_per_epoch}, settings_.sparsity);
}

bool MaskPruner::needs_gradients(const ScheduledUpdate& planned) const {
  return planned.moved > 0.0 && recipe_.regrowth &&
         recipe_.regrowth->needs() == ScoreNeeds::Gradients;
}

void MaskPruner::run_due_updates(nn::TrainState& state) {
  if (recipe_.recovery) return;
  const auto updates = plan(state);
  const auto planned = static_cast<int64_t>(updates.size());
  while (next_update_ < planned) {
    const auto first = updates.begin() + next_update_;
    if (first->step > state.step || needs_gradients(*first)) return;
    const auto end = std::find_if(first + 1, updates.end(), [&](const ScheduledUpdate& one) {
      return one.step != first->step || one.moved > 0.0;
    });
    run(state, {first, end}, end == updates.end());
  }
}

void MaskPruner::request_gradients(nn::TrainState& state) {
  const auto updates = plan(state);
  if (next_update_ >= static_cast<int64_t>(updates.size())) return;
  const ScheduledUpdate& next = updates[static_cast<size_t>(next_update_)];
  if (next.step > state.step || !needs_gradients(next)) return;
  for (const ScoredWeight& weight : prunable_weights(state.model, settings_.exclude)) {
    requested_.emplace_back(weight.parameter, weight.parameter->grad_request);
    weight.parameter->grad_request = sparse::GradRequest::Dense;
  }
}

PruneInputs inputs_of_training(PruneInputs inputs, const nn::TrainState& state) {
  if (state.loader == nullptr) return inputs;
  if (!inputs.batch) {
    inputs.batch = batches_like(*state.loader);
    inputs.batches = state.loader->batches();
  }
  if (inputs.input_shape.rank() == 0) {
    const data::ImageShape image = state.loader->dataset().image_shape();
    inputs.input_shape = {image.channels, image.height, image.width};
  }
  return inputs;
}

void MaskPruner::run(nn::TrainState& state, std::span<const ScheduledUpdate> rounds, bool last) {
  const PruneInputs inputs = inputs_of_training(inputs_, state);
  UpdateReport report = update(state.model, &state.optimizer, inputs, rounds, last);
  next_update_ += static_cast<int64_t>(rounds.size());
  record(std::move(report), next_update_ == static_cast<int64_t>(plan(state).size()));
}

UpdateReport MaskPruner::prune(nn::Module& model,
                               nn::Optimizer* optimizer,
                               Sparsity target,
                               int64_t step) {
  const ScheduledUpdate now = {.step = step, .sparsity = target};
  return update(model, optimizer, inputs_, {&now, 1}, true);
}

void MaskPruner::run_round(MaskUpdate& update, const ScheduledUpdate& planned, int64_t number) {
  Rng rng = Rng(inputs_.seed, "prune").fork(static_cast<uint64_t>(number));
  if (recipe_.compete_in_rows) update.compete_in_rows();
  Score& score = number == 0 && recipe_.initial_score ? *recipe_.initial_score : *recipe_.score;
  const auto scores = update.scores(score, rng);
  update.choose(scores, *recipe_.allocation, planned, recipe_.regrowth.get(), rng);
}

UpdateReport MaskPruner::update(nn::Module& model,
                                nn::Optimizer* optimizer,
                                const PruneInputs& inputs,
                                std::span<const ScheduledUpdate> rounds,
                                bool last) {
  const NoGrad no_grad;
  UpdateReport report = recipe_.stages ? update_in_stages(model, inputs, rounds)
                                       : update_at_once(model, inputs, rounds);
  if (last && settings_.ablation == Ablation::Reinit) {
    set_fresh_values(model, inputs, 1);
    if (optimizer != nullptr) optimizer->load_state_dict({});  // moments of the old weights
  }
  if (optimizer != nullptr) optimizer->clear_masked_state();
  return report;
}

UpdateReport MaskPruner::update_at_once(nn::Module& model,
                                        const PruneInputs& inputs,
                                        std::span<const ScheduledUpdate> rounds) {
  MaskUpdate update(model, *pattern_, settings_, inputs, recipe_.single_producer_only);
  if (rounds.size() == 1) {
    run_round(update, rounds.front(), next_update_);
  } else {
    // On a copy: what a round removes is zero from then on, but a shuffled mask may keep it.
    const std::unique_ptr<nn::Module> copy = model.clone();
    PruneSettings plain = settings_;
    if (plain.ablation == Ablation::Shuffle) plain.ablation = Ablation::None;
    for (size_t r = 0; r < rounds.size(); ++r) {
      MaskUpdate round(*copy, *pattern_, plain, inputs, recipe_.single_producer_only);
      run_round(round, rounds[r], next_update_ + static_cast<int64_t>(r));
      round.set_masks();
      update.tell_outputs_of(round);
      if (r + 1 < rounds.size()) continue;
      Rng rng = Rng(inputs.seed, "prune").fork(static_cast<uint64_t>(next_update_));
      update.adopt(round, rng);
    }
  }
  update.commit();
  return update.report();
}

UpdateReport MaskPruner::update_in_stages(nn::Module& model,
                                          const PruneInputs& inputs,
                                          std::span<const ScheduledUpdate> rounds) {
  ESPALIER_CHECK(rounds.size() == 1,
                 NotImplemented,
                 "prune: pruning in stages and in several rounds at one step");
  const std::vector<ScoredWeight> all = prunable_weights(model, settings_.exclude);
  UpdateReport report{.step = rounds.front().step, .target = rounds.front().sparsity};
  const std::vector<ScoredWeight> weights = fitting_weights(all, *pattern_, report.notes);
  report.layers = unchanged_layers(all, weights);
  const auto batches = calibration_batches(inputs);
  const WeightKeeper keeper(weights);
  try {
    for (const auto& stage : calibration_stages(model, weights, batches(0), *recipe_.stages)) {
      MaskUpdate update(model, *pattern_, settings_, inputs, recipe_.single_producer_only, stage);
      run_round(update, rounds.front(), next_update_);
      update.set_masks();
      const UpdateReport part = update.report();
      report.layers.insert(report.layers.end(), part.layers.begin(), part.layers.end());
      for (const std::string& note : part.notes) add_note(report.notes, note);
    }
    const std::shared_ptr<const FlowGraph> flow = flow_of(model, inputs);
    check_collapse(
        flow.get(), [](const nn::Parameter& one) { return one.mask(); }, settings_, report);
  } catch (...) {
    keeper.restore();
    throw;
  }
  if (pattern_->cell().size == 0) report.target_of = SparsityOf::Weights;
  report.reached = report.sparsity();
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
