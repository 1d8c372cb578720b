// SPDX-License-Identifier: Apache-2.0
/// Group Fisher pruning: coupled channels by the loss that they are worth together, for what they
/// cost.
///
/// Source: Liu, Zhang, Kuang, Zhou, Xue, Wang, Chen, Yang, Liao, Zhang, "Group Fisher pruning for
/// practical network compression", arXiv 2108.00708, and its published code. With as many rounds as
/// channels go it is the paper's loop. Masks are zeros in the weights until the end, so that costs
/// count what is still there.
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/fisher.h>

namespace espalier::prune::method_list {
namespace {

enum class GroupCost : uint8_t { Memory, Flops, None };
struct GroupFisher {
  int64_t rounds = 20;
  double until = 0.5;
  GroupCost cost = GroupCost::Memory;
  int64_t batches = 25;
  ScoringMode mode = ScoringMode::Train;
  std::string allocation = "global";
};

FisherCost cost_of(GroupCost cost) {
  if (cost == GroupCost::None) return FisherCost::None;
  return cost == GroupCost::Memory ? FisherCost::Memory : FisherCost::Ratio;
}

}  // namespace

Method group_fisher() {
  return make_method<GroupFisher>(
      {.name = "group-fisher",
       .title = "Group Fisher pruning",
       .paper = "Liu, Zhang, Kuang, Zhou, Xue, Wang, Chen, Yang, Liao, Zhang, arXiv 2108.00708",
       .year = 2021,
       .idea = "Channels that residual sums or depthwise layers tie together share one mask in "
               "front of all layers that read them. Its Fisher information is the loss that the "
               "whole group is worth; divide it by the memory that goes with the group.",
       .formula = "s_i = 1/(2N) sum_n (sum over readers x of dL_n/dm_i^x)^2, over the activations "
                  "(or the FLOPs) that go with channel i; the lowest go",
       .schedule = "start from trained weights; `rounds` updates spread evenly over the first part "
                   "of fine-tuning, a few channels each; then shrink",
       .differs =
           "a round removes several channels where the paper removes one; the `batches` of "
           "a score come at the update, not from the 25 training steps before it; the "
           "sparsity is of weights (published: of FLOPs, which is `target macs=`, met to the "
           "cheapest channel that no earlier round took); readers "
           "count their own input in each use",
       .use_when =
           "Residual or depthwise networks must lose memory or MACs, and labels are at hand.",
       .not_when = "There are no labels, or batches are too few for a Fisher information.",
       .patterns = {"channel"}},
      {{&GroupFisher::rounds, "rounds", {1, 100'000}, "", "updates"},
       until_option(&GroupFisher::until),
       {&GroupFisher::cost,
        "cost",
        {"memory", "flops", "none"},
        "what the loss is divided by: activations, FLOPs, or nothing"},
       batches_option(&GroupFisher::batches),
       scoring_mode_option(&GroupFisher::mode),
       allocation_option(&GroupFisher::allocation, {"global", "uniform"})},
      [](const GroupFisher& o, const PruneSettings&) -> Timeline {
        return {{at(iterative_schedule(o.rounds, o.until),
                    mask_update({.score = fisher_score({.cost = cost_of(o.cost),
                                                        .batches = o.batches,
                                                        .mode = o.mode,
                                                        .gates = FisherGates::Readers}),
                                 .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
