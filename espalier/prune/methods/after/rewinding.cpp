// SPDX-License-Identifier: Apache-2.0
/// Iterative magnitude pruning with one of three ways to train again: learning-rate rewinding,
/// weight rewinding, fine-tuning.
///
/// Source: Renda, Frankle, Carbin, arXiv 2003.02389. With a schedule whose last rate is nearly zero
/// (one-cycle, cosine), fine-tuning needs `tune-lr`; the paper's step schedules do not.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class Retrain : uint8_t { LearningRate, Weights, FineTuning };
struct Rewinding {
  int64_t rounds = 0;
  double fraction = 0.2;
  Retrain retrain = Retrain::LearningRate;
  double part = 0.9;
  double tune_lr = 0.0;
  std::string allocation = "global";
};

}  // namespace

Method rewinding() {
  return make_method<Rewinding>(
      {.name = "rewinding",
       .title = "Learning-rate rewinding, weight rewinding, fine-tuning",
       .paper = "Renda, Frankle, Carbin, arXiv 2003.02389",
       .year = 2020,
       .idea = "After pruning, train again with the large learning rates of earlier in the "
               "training instead of the last small one; the weights may stay as they are.",
       .formula = "s = |w|; T steps of training, t of a round: lr-rewinding keeps w_T and takes "
                  "the rates of T-t .. T, weight-rewinding also returns to w_(T-t), fine-tuning "
                  "keeps w_T and the rate of T",
       .schedule = "the run trains `epochs`, then prunes and repeats its last part, round by round "
                   "until the sparsity is reached",
       .use_when = "A good part of the training can be repeated at its large rates: above fine- "
                   "tuning in our runs (methods.md).",
       .not_when = "Only a few epochs can be paid for, or how the network was first trained is "
                   "not known.",
       .patterns = every_pattern()},
      {training_rounds_option(&Rewinding::rounds),
       fraction_option(&Rewinding::fraction),
       {&Rewinding::retrain,
        "retrain",
        {"lr-rewinding", "weight-rewinding", "fine-tuning"},
        "how a round trains"},
       {&Rewinding::part, "retrain-part", {0, 1}, "fraction of training", "repeated in a round"},
       OptionEntry<Rewinding>(
           &Rewinding::tune_lr, "tune-lr", {0, 1000}, "", "its rate; 0: the training's last")
           .needing("retrain", {"fine-tuning"}),
       allocation_option(&Rewinding::allocation, weight_allocations())},
      [](const Rewinding& o, const PruneSettings&) -> Timeline {
        return {.events = {at(rounds_schedule(o.rounds, o.fraction),
                              mask_update({.score = magnitude_score(),
                                           .allocation = make_allocation(o.allocation)}))},
                .recovery = std::make_shared<Recovery>(
                    RecoveryOptions{.weights = o.retrain == Retrain::Weights ? RoundWeights::Rewound
                                                                             : RoundWeights::Final,
                                    .rate = o.retrain == Retrain::FineTuning ? RoundRate::Constant
                                                                             : RoundRate::Schedule,
                                    .from = 1.0 - o.part,
                                    .constant_rate = o.tune_lr})};
      });
}

}  // namespace espalier::prune::method_list
