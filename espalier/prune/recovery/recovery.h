// SPDX-License-Identifier: Apache-2.0
/// Recovery: how a network is trained again after each round of pruning: from which step of the
/// training, with which weights and with which learning rates. It removes nothing. Lottery tickets,
/// weight rewinding, learning-rate rewinding, fine-tuning and re-initialization differ only here.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <espalier/prune/ground/inputs.h>

namespace espalier::prune {

/// The weights that a round starts from.
enum class RoundWeights : uint8_t {
  Final,    ///< as they were trained
  Rewound,  ///< as they were at the step that training goes back to
  Fresh     ///< drawn anew: the control of a lottery ticket
};

/// The learning rates of a round.
enum class RoundRate : uint8_t {
  Schedule,  ///< those of the steps that are repeated, warm-up included
  Constant   ///< one rate, by default the last of the first training
};

/// Settings of a recovery.
struct RecoveryOptions {
  RoundWeights weights = RoundWeights::Rewound;  ///< what a round starts from
  RoundRate rate = RoundRate::Schedule;          ///< how fast a round learns
  /// Each round starts at this fraction of training and goes on to its end.
  double from = 0.0;
  /// Of RoundRate::Constant; 0: the rate of the last step of the first training.
  double constant_rate = 0.0;
};

/// What happens between two rounds. In every case masks stay, and the optimizer's state (momentum)
/// starts afresh. Weights come with batch norm's parameters and running statistics and with the
/// positions of the model's random generators.
///
/// Source: Frankle, Carbin, arXiv 1803.03635 (rewinding to initialization); Frankle et al., arXiv
/// 1912.05671 (to an early step); Renda, Frankle, Carbin, arXiv 2003.02389 (learning rates).
class Recovery {
 public:
  /// Throws ValueError unless `from` is in 0 .. 1 and `constant_rate` is not negative.
  explicit Recovery(const RecoveryOptions& options);

  /// The step at which every round starts: `from` of the steps, rounded to the nearest.
  int64_t first_step(int64_t total_steps) const;
  /// Takes the snapshot when its step comes for the first time, and sets a constant rate.
  void before_step(nn::TrainState& state);
  /// Prepares model and optimizer for round `round` (from 1), after the masks were set. Returns the
  /// step at which training goes on. Throws ValueError when fresh weights are wanted and
  /// `inputs.fresh_model` is empty.
  int64_t start_round(nn::TrainState& state, const PruneInputs& inputs, int64_t round);

  /// The snapshot and the rate, for checkpoints.
  std::map<std::string, Tensor> state() const;
  /// Throws ValueError when it does not fit.
  void load_state(const std::map<std::string, Tensor>& state);

 private:
  void take_snapshot(nn::Module& model);
  void restore_snapshot(nn::Module& model) const;

  RecoveryOptions options_;
  std::map<std::string, Tensor> values_;  // parameters and buffers at the first step of a round
  std::map<std::string, Tensor> random_;  // the model's random generators there
  double last_rate_ = 0.0;                // of the newest step
  bool in_round_ = false;
};

}  // namespace espalier::prune
