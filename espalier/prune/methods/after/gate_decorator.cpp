// SPDX-License-Identifier: Apache-2.0
/// Gate decorator: global filter pruning by gates on batch norm, in ticks and tocks.
///
/// Source: You, Yan, Ye, Ma, Wang, arXiv 1909.08174, and its published code. There a tick is an
/// epoch or less and removes 0.2 % (ResNet-56) or 0.5 % (VGG-16) of the filters that are left, and
/// a tock is ten epochs before every ten ticks, until the network is small enough; here the number
/// of ticks is an option, and half of the time until `prune-at` is of either, because schedules are
/// functions of the length of training.
#include <algorithm>
#include <cmath>

#include <espalier/prune/actions/actions.h>
#include <espalier/prune/actions/gate_ticks.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/norm_scale.h>

namespace espalier::prune::method_list {
namespace {

constexpr double kMostOfALayer = 0.9;  // of a layer's filters, as published

struct GateDecorator {
  int64_t rounds = 40;
  int64_t ticks = 10;
  double strength = 1e-3;
  double prune_at = 0.5;
};

}  // namespace

Method gate_decorator() {
  return make_method<GateDecorator>(
      {.name = "gate-decorator",
       .title = "Gate decorator: global filter pruning",
       .paper = "You, Yan, Ye, Ma, Wang, arXiv 1909.08174",
       .year = 2019,
       .idea =
           "A gate that takes the scale's place in batch norm tells by its gradient what the loss "
           "is without the channel. Let all but the convolutions train for a moment (tick), remove "
           "the weakest channels, and let everything recover under a penalty on the gates (tock).",
       .formula = "gamma x + beta = phi (x + beta / gamma); score = sum over steps of |phi "
                  "dL/dphi|, summed over the channels that a sum ties together; the lowest of the "
                  "whole network go. Tocks: loss + lambda sum |phi|",
       .schedule =
           "start from trained weights; tock, `ticks` ticks with an update after each, tock "
           "and so on, until `rounds` ticks are made at `prune-at`; each removes the same "
           "share of what is left, and no layer loses more than 0.9; then fine-tuning; "
           "then shrink. S is the share of all channels",
       .differs =
           "numbers are exact (published: the one on the threshold goes too) and count "
           "channels, groups once; gates train as scale and shift do, and the clamp of beta "
           "/ gamma to -10 .. 10 is of the score alone, so that decorating changes nothing "
           "(published: phi and beta / gamma are the parameters); one learning-rate "
           "schedule spans all (published: 1e-3 in ticks, a triangle up to 1e-2 in tocks); a "
           "target is met to the cheapest channel that no earlier round took",
       .use_when = "A network with batch norm must lose many channels over a long fine-tuning.",
       .not_when = "The network has no batch norm, or is pruned in one step.",
       .patterns = {"channel"}},
      {{&GateDecorator::rounds, "rounds", {1, 100'000}, "", "ticks in all"},
       {&GateDecorator::ticks, "ticks", {1, 10'000}, "", "between two tocks"},
       {&GateDecorator::strength, "strength", {0, 10}, "", "lambda, of the penalty in tocks"},
       prune_at_option(&GateDecorator::prune_at)},
      [](const GateDecorator& o, const PruneSettings& settings) -> Timeline {
        const auto sums = std::make_shared<GateSums>();
        const std::shared_ptr<Action> tick = gate_ticks(sums);
        const std::shared_ptr<Action> tock = norm_scale_penalty(o.strength, 1.0);
        const auto update = mask_update({.score = gate_ticks_score(sums),
                                         .allocation = global_units_allocation(),
                                         .sites = {.refusal = without_norm_scale},
                                         .min_per_layer = 1,
                                         .max_layer_sparsity = Sparsity(kMostOfALayer)});
        Timeline timeline{.refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
        double now = 0.0;
        for (int64_t done = 0; done < o.rounds; done += o.ticks) {
          const int64_t count = std::min(o.ticks, o.rounds - done);
          const double part = 0.5 * o.prune_at / static_cast<double>(o.rounds);
          const double first = now + part * static_cast<double>(count);
          timeline.events.push_back(during(now, first, tock));
          for (int64_t t = 1; t <= count; ++t) {
            const bool last = done + t == o.rounds;
            const double from = first + part * static_cast<double>(t - 1);
            now = last ? o.prune_at : first + part * static_cast<double>(t);
            const double share = static_cast<double>(done + t) / static_cast<double>(o.rounds);
            timeline.events.push_back(during(from, now, tick));
            timeline.events.push_back(
                at(one_shot_schedule(
                       now,
                       last ? settings.final()
                            : Sparsity(1.0 - std::pow(settings.final().density().value(), share))),
                   update));
          }
        }
        return timeline;
      });
}

}  // namespace espalier::prune::method_list
