// SPDX-License-Identifier: Apache-2.0
/// Fisher pruning: feature maps by the loss that they are worth and the FLOPs that they cost.
///
/// Source: Theis, Korshunova, Tejani, Huszar, arXiv 1801.05787. With as many rounds as maps it is
/// the paper's loop. Batch norm uses the batch's statistics, as in later published code, which
/// scores while it trains; with running ones (`scoring-mode eval`) other filters go.
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/fisher.h>

namespace espalier::prune::method_list {
namespace {

struct Fisher {
  int64_t rounds = 20;
  double until = 0.5;
  FisherCost cost = FisherCost::Ratio;
  double beta = 0.0;
  int64_t batches = 10;
  ScoringMode mode = ScoringMode::Train;
  std::string allocation = "global";
};

}  // namespace

Method fisher() {
  return make_method<Fisher>(
      {.name = "fisher",
       .title = "Fisher pruning of feature maps",
       .paper = "Theis, Korshunova, Tejani, Huszar, arXiv 1801.05787",
       .year = 2018,
       .idea =
           "Near a minimum the loss rises by half the mean square of the samples' gradients when a "
           "map goes; remove the map that costs the least loss for the computation that it saves.",
       .formula = "Delta_k = 1/(2N) * sum_n g_nk^2, g_nk = dL_n/dm_k = sum over space of a "
                  "dL_n/da; ranked by Delta_k / -dC_k, dC_k the FLOPs of the map's own layer and "
                  "of its readers, or by Delta_k + beta * dC_k",
       .schedule = "start from trained weights; `rounds` updates spread evenly over the first part "
                   "of fine-tuning, a few maps each; then shrink",
       .differs = "a round removes several maps where the paper removes one; gates stand behind "
                  "batch norm, which the paper's networks don't have; mini-batches are scored at "
                  "an update, not collected over the training steps before it",
       .use_when = "A trained network must lose MACs in any dense engine, and layers may lose "
                   "different shares.",
       .not_when = "There are no labels, or no fine-tuning between its rounds.",
       .patterns = {"channel"}},
      {{&Fisher::rounds, "rounds", {1, 100'000}, "", "updates"},
       until_option(&Fisher::until),
       {&Fisher::cost, "cost", {"ratio", "beta", "none"}, "how FLOPs enter the ranking"},
       {&Fisher::beta, "beta", {0, 1}, "loss per FLOP", "weight of the cost (cost beta)"},
       batches_option(&Fisher::batches),
       scoring_mode_option(&Fisher::mode),
       allocation_option(&Fisher::allocation, {"global", "uniform"})},
      [](const Fisher& o, const PruneSettings&) -> Timeline {
        return {
            {at(iterative_schedule(o.rounds, o.until),
                mask_update(
                    {.score = fisher_score(
                         {.cost = o.cost, .beta = o.beta, .batches = o.batches, .mode = o.mode}),
                     .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
