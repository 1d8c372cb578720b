// SPDX-License-Identifier: Apache-2.0
/// EpochFilterPruner: chooses filters anew before training and after every epoch, and removes only
/// the last choice, with its channels. Methods differ in the score, and in what chosen filters do
/// until the next choice.
#pragma once

#include <memory>

#include <espalier/prune/pruner.h>

namespace espalier::prune {

/// Chosen filters are set to zero; then, until the next choice, they
enum class UntilNextChoice : uint8_t {
  Train,  ///< train on like all others, with their momentum
  /// stay zero, without gradient and momentum; at the next choice they may come back, except at
  /// the end of training, when those that rest are the last choice
  Rest,
};

/// Settings of the loop.
struct EpochFilterOptions {
  /// What happens to unchosen filters in between.
  UntilNextChoice until_next = UntilNextChoice::Train;
  /// Epochs between choices; the first epoch and the last always end with one.
  int64_t every_epochs = 1;
};

/// Every layer loses the same fraction of its filters, rounded down; layers tied by a residual sum
/// are left alone. The last choice masks whole channels (filter, bias, batch norm, the readers'
/// inputs), so that `shrink` changes nothing. Until then batch norm's shift of a zero filter is
/// still there, as in the papers. What it knows between epochs is in the weights and masks: it has
/// no state of its own.
class EpochFilterPruner : public Pruner {
 public:
  /// `score` ranks the filters of each layer.
  EpochFilterPruner(std::unique_ptr<Score> score,
                    const EpochFilterOptions& options,
                    PruneSettings settings,
                    PruneInputs inputs);
  ~EpochFilterPruner() override;

  /// Throws ValueError when a weight is masked already: masks would be released.
  void before_training(nn::TrainState& state) override;
  void end_of_epoch(nn::TrainState& state) override;

 private:
  void choose(nn::TrainState& state, int64_t number);

  std::unique_ptr<Score> score_;
  EpochFilterOptions options_;
  PruneSettings settings_;
  PruneInputs inputs_;
};

}  // namespace espalier::prune
