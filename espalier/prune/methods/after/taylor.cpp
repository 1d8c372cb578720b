// SPDX-License-Identifier: Apache-2.0
/// Taylor pruning: filters by the first-order change of the loss.
///
/// Source: Molchanov, Mallya, Tyree, Frosio, Kautz, arXiv 1906.10771; forms `sum-of-squares`
/// (there, equation 7) and `absolute` (Molchanov et al., arXiv 1611.06440). 30 mini-batches and a
/// momentum of 0.9 as in the published code. Layers that make a residual stream share a gate, whose
/// gradient is the sum of theirs. With running statistics (`scoring-mode eval`) other filters go:
/// of the lowest 30 % of a ResNet-20 four in ten are the same.
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/taylor.h>

namespace espalier::prune::method_list {
namespace {

struct Taylor {
  int64_t rounds = 10;
  double until = 0.5;
  TaylorForm form = TaylorForm::Gate;
  int64_t batches = 30;
  double momentum = 0.9;
  ScoringMode mode = ScoringMode::Train;
  std::string allocation = "global";
};

}  // namespace

Method taylor() {
  return make_method<Taylor>(
      {.name = "taylor",
       .title = "Taylor pruning, first order",
       .paper = "Molchanov, Mallya, Tyree, Frosio, Kautz, arXiv 1906.10771",
       .year = 2019,
       .idea = "Multiply every channel by a gate of 1: the gradient of the loss with respect to "
               "the gate tells how much the loss would change without the channel.",
       .formula =
           "s = (dL/dz)^2 = (sum of g w)^2, the gate z after the layer's batch norm, of the mean "
           "loss of a mini-batch; averaged over mini-batches, and over rounds with momentum",
       .schedule = "start from trained weights; `rounds` updates spread evenly over the first part "
                   "of fine-tuning; then shrink",
       .differs = "mini-batches are scored at an update, with the weights of that moment, where "
                  "the published code collects them over the training steps before it; the scores "
                  "of a residual stream are not divided by its number of blocks",
       .use_when = "A trained network must lose channels, those of residual sums too, and layers "
                   "may lose different shares.",
       .not_when = "There are no labels, or no fine-tuning between its rounds.",
       .patterns = {"channel"}},
      {{&Taylor::rounds, "rounds", {1, 100'000}, "", "updates"},
       until_option(&Taylor::until),
       {&Taylor::form,
        "form",
        {"gate", "sum-of-squares", "absolute"},
        "square of the sum, sum of squares, or the absolute form of 2016"},
       batches_option(&Taylor::batches),
       {&Taylor::momentum, "score-momentum", {0, 0.999}, "", "share of the last round's scores"},
       scoring_mode_option(&Taylor::mode),
       allocation_option(&Taylor::allocation, {"global", "uniform"})},
      [](const Taylor& o, const PruneSettings&) -> Timeline {
        return {{at(iterative_schedule(o.rounds, o.until),
                    mask_update({.score = taylor_score({.form = o.form,
                                                        .batches = o.batches,
                                                        .momentum = o.momentum,
                                                        .mode = o.mode}),
                                 .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
