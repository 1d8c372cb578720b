// SPDX-License-Identifier: Apache-2.0
/// Lottery tickets by iterative magnitude pruning: train, prune, put the survivors back to where
/// they were, train again.
///
/// Source: Frankle, Carbin, arXiv 1803.03635 (back to initialization); Frankle, Dziugaite, Roy,
/// Carbin, arXiv 1912.05671 (back to an early step, which larger networks need). Weights that are
/// gone are not ranked again.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class Survivors : uint8_t { Rewound, Fresh };
struct Tickets {
  int64_t rounds = 0;
  double fraction = 0.2;
  double rewind_to = 0.0;
  Survivors survivors = Survivors::Rewound;
  std::string allocation = "global";
};

}  // namespace

Method lottery_tickets() {
  return make_method<Tickets>(
      {.name = "lottery-tickets",
       .title = "Lottery tickets by iterative magnitude pruning",
       .paper = "Frankle, Carbin, arXiv 1803.03635; Frankle et al., arXiv 1912.05671",
       .year = 2019,
       .idea = "A dense network holds a small one that trains as well alone, if it starts from the "
               "weights it had: find it by training, and go back.",
       .formula = "s = |w| after training; n of the a weights still there go, n = ceil(fraction * "
                  "a); the others return to w_k",
       .schedule = "the run trains `epochs`, prunes, goes back to step k with its weights, batch "
                   "norm, learning rate and order of data, and trains to the end again, until the "
                   "sparsity is reached: one training more than there are rounds",
       .differs = "exactly n weights go; the published code removes all up to the one at place n, "
                  "one weight more. For VGG it leaves the classifier dense and out of the ranking: "
                  "that is `exclude classifier`. It draws batch norm's scales from (0, 1); here "
                  "they start at 1, as for all methods. Momentum starts at zero in every round",
       .use_when = "Several whole trainings can be paid for and accuracy decides.",
       .not_when = "Only fine-tuning can be paid for: every round is a whole training.",
       .patterns = every_pattern()},
      {training_rounds_option(&Tickets::rounds),
       fraction_option(&Tickets::fraction),
       {&Tickets::rewind_to,
        "rewind-to",
        {0, 1},
        "fraction of training",
        "every round starts there"},
       {&Tickets::survivors,
        "survivors",
        {"rewound", "fresh"},
        "of that moment, or new (the control)"},
       allocation_option(&Tickets::allocation, weight_allocations())},
      [](const Tickets& o, const PruneSettings&) -> Timeline {
        return {.events = {at(rounds_schedule(o.rounds, o.fraction),
                              mask_update({.score = magnitude_score(),
                                           .allocation = make_allocation(o.allocation)}))},
                .recovery = std::make_shared<Recovery>(RecoveryOptions{
                    .weights = o.survivors == Survivors::Fresh ? RoundWeights::Fresh
                                                               : RoundWeights::Rewound,
                    .from = o.rewind_to})};
      });
}

}  // namespace espalier::prune::method_list
