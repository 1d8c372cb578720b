// SPDX-License-Identifier: Apache-2.0
/// Fisher pruning: feature maps by the loss that they are worth and the FLOPs that they cost.
///
/// Source: Theis, Korshunova, Tejani, Huszar, "Faster gaze prediction with dense networks and
/// Fisher pruning", arXiv 1801.05787. The paper removes one map at a time and recomputes gradients
/// and costs after each; here that happens at every round, so with as many rounds as maps it is the
/// paper's loop. Gates stand behind batch norm. Mini-batches are scored at the update, with the
/// weights of that moment, not collected over the steps before it; batch norm, which the paper's
/// networks don't have, uses the batch's statistics, as in later published code, which scores while
/// it trains. With running ones (`scoring-mode eval`) other filters go.
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/fisher.h>

namespace espalier::prune::method_list {
namespace {

FisherCost cost_of(const std::string& text) {
  if (text == "beta") return FisherCost::Beta;
  if (text == "none") return FisherCost::None;
  return FisherCost::Ratio;
}

}  // namespace

Method fisher() {
  return {
      .name = "fisher",
      .title = "Fisher pruning of feature maps",
      .paper = "Theis, Korshunova, Tejani, Huszar, arXiv 1801.05787",
      .year = 2018,
      .speedup = Speedup::Structured,
      .when = When::After,
      .how = How::Criterion,
      .one_shot = false,
      .global = true,
      .data_free = false,
      .idea =
          "Near a minimum the loss rises by half the mean square of the samples' gradients when a "
          "map goes; remove the map that costs the least loss for the computation that it saves.",
      .formula =
          "Delta_k = 1/(2N) * sum_n g_nk^2, g_nk = dL_n/dm_k = sum over space of a dL_n/da; "
          "ranked by Delta_k / -dC_k, dC_k the FLOPs of the map's own layer and of its readers, or "
          "by Delta_k + beta * dC_k",
      .schedule =
          "start from trained weights; `rounds` updates spread evenly over the first part of "
          "fine-tuning, a few maps each; then shrink",
      .differs =
          "a round removes several maps where the paper removes one; gates stand behind batch "
          "norm, which the paper's networks don't have; mini-batches are scored at an update, "
          "not collected over the training steps before it",
      .patterns = {"channel"},
      .options =
          {
              integer_option("rounds", 20, 1, 100'000, "", "updates"),
              until_option(0.5),
              choice_option("cost", {"ratio", "beta", "none"}, "how FLOPs enter the ranking"),
              real_option("beta", 0.0, 0.0, 1.0, "loss per FLOP", "weight of the cost (cost beta)"),
              batches_option(10),
              scoring_mode_option(ScoringMode::Train),
              allocation_option({"global", "uniform"}),
          },
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.score = fisher_score({.cost = cost_of(options.text("cost")),
                                         .beta = options.real("beta"),
                                         .batches = options.integer("batches"),
                                         .mode = scoring_mode(options)});
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = iterative_schedule(options.integer("rounds"), options.real("until"));
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
