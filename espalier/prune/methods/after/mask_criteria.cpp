// SPDX-License-Identifier: Apache-2.0
/// Mask criteria: lottery tickets whose masks are chosen by other functions of first and last
/// weights, and which start from other weights.
///
/// Source: Zhou, Lan, Liu, Yosinski, "Deconstructing lottery tickets: zeros, signs, and the
/// supermask", arXiv 1905.01067, and its published code. Learnt masks of random weights are the
/// method `supermask`.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/mask_criteria.h>

namespace espalier::prune::method_list {
namespace {

enum class StartOfRound : uint8_t { Rewound, Final, Fresh, ConstantSigns };
struct MaskCriteria {
  MaskCriterion criterion = MaskCriterion::LargeFinalSameSign;
  StartOfRound survivors = StartOfRound::Rewound;
  int64_t rounds = 0;
  double fraction = 0.2;
  std::string allocation = "uniform";
};

RoundWeights weights_of(StartOfRound survivors) {
  if (survivors == StartOfRound::Final) return RoundWeights::Final;
  if (survivors == StartOfRound::Fresh) return RoundWeights::Fresh;
  return RoundWeights::Rewound;
}

}  // namespace

Method mask_criteria() {
  return make_method<MaskCriteria>(
      {.name = "mask-criteria",
       .title = "Mask criteria of lottery tickets",
       .paper = "Zhou, Lan, Liu, Yosinski, arXiv 1905.01067",
       .year = 2019,
       .idea =
           "Why does a ticket train? A weight is known by what it was and what it became; keep "
           "those that grew, moved, or kept their sign, and start again from what they were, or "
           "from nothing but their signs.",
       .formula =
           "of v at first and w at last: |w|, -|w|, |v|, min(a |w|, |v|), |w| - |v|, |w - v|, "
           "max(0, sign(v) w), or a random number; those with the highest stay",
       .schedule = "the run trains `epochs`, prunes, goes back to its beginning and trains again, "
                   "until the sparsity is reached",
       .differs =
           "what goes is zero (published also: frozen at its first value, or zero only if it moved "
           "towards zero, which removes no weight); a is the layer's mean |v| over its mean |w| "
           "(ours; published code: what is above one percentile in both stays); layers lose equal "
           "shares (published: convolutions half as much as linear layers)",
       .use_when = "You study what a ticket keeps: each criterion of the paper is an option.",
       .not_when = "You want one accurate network: magnitude is the criterion to begin with.",
       .patterns = every_pattern()},
      {{&MaskCriteria::criterion,
        "criterion",
        {"large-final",
         "small-final",
         "large-init",
         "large-init-large-final",
         "magnitude-increase",
         "movement",
         "large-final-same-sign",
         "random"},
        "which weights stay"},
       {&MaskCriteria::survivors,
        "survivors",
        {"rewound", "final", "fresh", "constant-signs"},
        "what they start again from: first values, last ones, new ones, or the signs of the first, "
        "all of their layer's first standard deviation"},
       training_rounds_option(&MaskCriteria::rounds),
       fraction_option(&MaskCriteria::fraction),
       allocation_option(&MaskCriteria::allocation, weight_allocations())},
      [](const MaskCriteria& o, const PruneSettings&) -> Timeline {
        Timeline timeline{
            .events = {at(rounds_schedule(o.rounds, o.fraction),
                          mask_update({.score = mask_criterion_score(o.criterion),
                                       .allocation = make_allocation(o.allocation)}))},
            .recovery =
                std::make_shared<Recovery>(RecoveryOptions{.weights = weights_of(o.survivors)})};
        if (o.survivors == StartOfRound::ConstantSigns) {
          timeline.events.push_back(during(0.0, 1.0, constant_signs()));
        }
        return timeline;
      });
}

}  // namespace espalier::prune::method_list
