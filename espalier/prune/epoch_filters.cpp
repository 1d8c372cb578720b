// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/epoch_filters.h>
#include <espalier/prune/mask_update.h>

namespace espalier::prune {
namespace {

/// Sets the filters (not their shifts) of all units that don't stay to zero, by masks.
void mask_filters(const MaskUpdate& update) {
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
void release(const std::vector<ScoredWeight>& weights) {
  for (const ScoredWeight& weight : weights) weight.parameter->set_mask({});
}

}  // namespace

EpochFilterPruner::EpochFilterPruner(std::unique_ptr<Score> score,
                                     const EpochFilterOptions& options,
                                     PruneSettings settings,
                                     PruneInputs inputs)
    : score_(std::move(score)),
      options_(options),
      settings_(std::move(settings)),
      inputs_(std::move(inputs)) {
  ESPALIER_CHECK(settings_.ablation != Ablation::Reinit,
                 NotImplemented,
                 "prune: ablation reinit of a method whose last choice ends the training");
}

EpochFilterPruner::~EpochFilterPruner() = default;

void EpochFilterPruner::before_training(nn::TrainState& state) {
  for (const ScoredWeight& weight : prunable_weights(state.model, settings_.exclude)) {
    ESPALIER_CHECK(!weight.parameter->masked(),
                   ValueError,
                   "prune: ",
                   weight.name,
                   " has a mask already, but this method starts from a dense network, because it "
                   "lets filters come back. Exclude the layer, or choose l1-filters.");
  }
  choose(state, 0);
}

void EpochFilterPruner::end_of_epoch(nn::TrainState& state) {
  const bool last = state.step >= state.total_steps;
  if (last || state.epoch % options_.every_epochs == 0) choose(state, state.epoch + 1);
}

void EpochFilterPruner::choose(nn::TrainState& state, int64_t number) {
  const NoGrad no_grad;
  const bool last = state.step >= state.total_steps;
  // Filters that rested through the last epoch are the last choice: the others trained without
  // them, and a choice of new ones would leave these at zero, untrained.
  const bool keep_choice = last && options_.until_next == UntilNextChoice::Rest;
  if (!keep_choice) release(prunable_weights(state.model, settings_.exclude));
  Rng rng = Rng(inputs_.seed, "prune").fork(static_cast<uint64_t>(number));
  const PruneInputs inputs = inputs_of_training(inputs_, state);
  MaskUpdate update(state.model, *make_pattern("channel"), settings_, inputs, true);
  const auto scores = update.scores(*score_, rng);
  update.choose(scores,
                *uniform_floor_allocation(),
                {.step = state.step, .sparsity = settings_.sparsity},
                nullptr,
                rng);
  if (last) {
    update.commit();
    state.optimizer.clear_masked_state();
  } else {
    update.check();
    mask_filters(update);
    if (options_.until_next == UntilNextChoice::Rest) {
      state.optimizer.clear_masked_state();
    } else {
      release(update.weights());
    }
  }
  record(update.report(), last);
}

}  // namespace espalier::prune
