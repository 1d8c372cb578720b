// SPDX-License-Identifier: Apache-2.0
/// SynFlow: iterative pruning without data that conserves synaptic flow.
///
/// Source: Tanaka, Kunin, Yamins, Ganguli, arXiv 2006.05467. Of absolute values nearly all units of
/// a ReLU6 would be full, and a full one passes no flow on: hence its limit is lifted.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Synflow {
  int64_t rounds = 100;
  Pace pace = Pace::Exponential;
  SynflowStatistics statistics = SynflowStatistics::Initial;
  std::string allocation = "global";
};

}  // namespace

Method synflow() {
  return make_method<Synflow>(
      {.name = "synflow",
       .title = "SynFlow: iterative conservation of synaptic flow",
       .paper = "Tanaka, Kunin, Yamins, Ganguli, arXiv 2006.05467",
       .year = 2020,
       .when = When::Before,
       .idea = "A score that is conserved from layer to layer, and is computed again after every "
               "small round of pruning, never cuts a layer off. It needs no data.",
       .formula =
           "s = |w dR/dw|, R = sum of the outputs for an input of ones, with |w| in place of every "
           "parameter; round k of n keeps the fraction (1 - S)^(k/n) with the highest scores",
       .schedule = "`rounds` rounds before training; then train with the mask fixed",
       .differs = "batch norm uses its initial statistics, also in a trained network (published: "
                  "the absolute values of those it finds, `flow-statistics running`); the limit of "
                  "ReLU6, which no published network has, is lifted while scoring",
       .use_when = "Pruning must happen before training and without data, or at sparsities where "
                   "other scores empty layers.",
       .not_when = "Multiply-accumulates count more than weights: it keeps the costly early "
                   "layers (methods.md).",
       .patterns = {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "channel"}},
      {{&Synflow::rounds, "rounds", {1, 10'000}, "", "rounds of scoring and pruning"},
       {&Synflow::pace, "rounds-pace", {"exponential", "linear"}, "(1 - S)^(k/n), or 1 - S k/n"},
       {&Synflow::statistics,
        "flow-statistics",
        {"initial", "running"},
        "batch norm's: 0 and 1, or its own"},
       allocation_option(&Synflow::allocation, weight_allocations())},
      [](const Synflow& o, const PruneSettings&) -> Timeline {
        return {{at(iterative_schedule(o.rounds, 0.0, o.pace),
                    mask_update({.score = synflow_score({.statistics = o.statistics}),
                                 .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
