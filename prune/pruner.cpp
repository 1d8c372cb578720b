// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <espalier/prune/mask_update.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

Sparsity fraction_removed(int64_t total, int64_t kept) {
  return total == 0 ? Sparsity(0.0)
                    : Sparsity(static_cast<double>(total - kept) / static_cast<double>(total));
}

/// Values and buffers of a new model of the same architecture; masks stay.
void start_again(nn::Module& model, const PruneInputs& inputs) {
  const std::unique_ptr<nn::Module> fresh = inputs.fresh_model(inputs.seed + 1);
  std::map<std::string, Tensor> state = fresh->state_dict();
  for (const nn::NamedParameter& one : model.named_parameters()) {
    one.parameter->value.value().copy_(state.at(one.name));
    if (one.parameter->masked()) one.parameter->set_mask(one.parameter->mask());
  }
  for (const nn::NamedBuffer& one : model.named_buffers()) one.buffer->copy_(state.at(one.name));
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
}

void MaskPruner::after_backward(nn::TrainState& state) {
  recipe_.score->observe(state);
}

void MaskPruner::end_of_training(nn::TrainState& state) {
  run_due_updates(state);
}

void MaskPruner::run_due_updates(nn::TrainState& state) {
  const auto plan = recipe_.schedule->updates(state.total_steps, settings_.sparsity);
  const auto planned = static_cast<int64_t>(plan.size());
  PruneInputs inputs = inputs_;
  if (!inputs.batch && state.loader != nullptr) inputs.batch = batches_like(*state.loader);
  if (inputs.input_shape.rank() == 0 && state.loader != nullptr) {
    const data::ImageShape image = state.loader->dataset().image_shape();
    inputs.input_shape = {image.channels, image.height, image.width};
  }
  while (next_update_ < planned && plan[static_cast<size_t>(next_update_)].step <= state.step) {
    const auto first = plan.begin() + next_update_;
    const auto end = std::find_if(
        first + 1, plan.end(), [&](const ScheduledUpdate& one) { return one.step != first->step; });
    record(update(state.model, &state.optimizer, inputs, {first, end}, end == plan.end()));
    next_update_ += end - first;
  }
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
  const auto scores = update.scores(*recipe_.score, rng);
  update.choose(scores, *recipe_.allocation, planned, recipe_.regrowth.get(), rng);
}

UpdateReport MaskPruner::update(nn::Module& model,
                                nn::Optimizer* optimizer,
                                const PruneInputs& inputs,
                                std::span<const ScheduledUpdate> rounds,
                                bool last) {
  const NoGrad no_grad;
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
      round.commit();
      if (r + 1 < rounds.size()) continue;
      Rng rng = Rng(inputs.seed, "prune").fork(static_cast<uint64_t>(next_update_));
      update.adopt(round, rng);
    }
  }
  update.commit();
  if (last && settings_.ablation == Ablation::Reinit) start_again(model, inputs);
  if (optimizer != nullptr) optimizer->clear_masked_state();
  return update.report();
}

std::map<std::string, Tensor> MaskPruner::state() const {
  std::map<std::string, Tensor> state = {
      {"updates", Tensor::scalar(static_cast<double>(next_update_), DType::I64)}};
  for (const auto& [name, tensor] : recipe_.score->state()) state["score." + name] = tensor;
  return state;
}

void MaskPruner::load_state(const std::map<std::string, Tensor>& state) {
  const auto updates = state.find("updates");
  ESPALIER_CHECK(
      updates != state.end(), ValueError, "MaskPruner: the saved state has no 'updates'");
  next_update_ = static_cast<int64_t>(updates->second.item());
  std::map<std::string, Tensor> of_score;
  for (const auto& [name, tensor] : state) {
    if (name.starts_with("score.")) of_score[name.substr(6)] = tensor;
  }
  recipe_.score->load_state(of_score);
}

}  // namespace espalier::prune
