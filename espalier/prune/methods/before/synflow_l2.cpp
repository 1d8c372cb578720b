// SPDX-License-Identifier: Apache-2.0
/// SynFlow-L2: SynFlow's rounds by the flow of squares, whose gradient is the path kernel's trace.
///
/// Source: Gebhart, Saxena, Schrater, "A unified paths perspective for pruning at initialization",
/// arXiv 2101.10552 (no published code was found). Squares of He's initial values add up to 2 over
/// the inputs of a unit, so that the flow of squares doubles from layer to layer, whatever the
/// width; that of absolute values grows by 2 sqrt(inputs / pi).
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct SynflowL2 {
  int64_t rounds = 100;
  Pace pace = Pace::Exponential;
  FlowInput input = FlowInput::Ones;
  int64_t batches = 10;
  std::string allocation = "global";
};

}  // namespace

Method synflow_l2() {
  return make_method<SynflowL2>(
      {.name = "synflow-l2",
       .title = "SynFlow-L2: the flow of squares, by the path kernel",
       .paper = "Gebhart, Saxena, Schrater, arXiv 2101.10552",
       .year = 2021,
       .when = When::Before,
       .idea = "How fast a network learns is told by the paths through it: by each path's product "
               "of weights, squared. Keep the weights through which most of that passes.",
       .formula =
           "s = w^2 dF/d(w^2), F = sum of the outputs for an input of ones with w^2 in place "
           "of every parameter: the sum over paths through w of their product squared; round "
           "k of n keeps the fraction (1 - S)^(k/n) with the highest scores",
       .schedule = "`rounds` rounds before training; then train with the mask fixed",
       .differs =
           "batch norm uses its initial statistics, also in a trained network; of the form that "
           "knows the data (-Dist) the input is the mean square of each entry, with which a path "
           "has the share that it has in the output's second moment (which statistic the paper "
           "takes was not found; ours); a flow beyond float64 is an error",
       .use_when = "There is no data yet, and pruning must come before training.",
       .not_when = "Figures are to be held against others': synflow itself is what papers "
                   "report.",
       .patterns = {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "channel"}},
      {{&SynflowL2::rounds, "rounds", {1, 10'000}, "", "rounds of scoring and pruning"},
       {&SynflowL2::pace, "rounds-pace", {"exponential", "linear"}, "(1 - S)^(k/n), or 1 - S k/n"},
       {&SynflowL2::input,
        "flow-input",
        {"ones", "mean-square"},
        "1 everywhere, or the mean of x^2 over training data, entry by entry"},
       OptionEntry<SynflowL2>(&SynflowL2::batches,
                              "input-batches",
                              {1, 1'000'000},
                              "",
                              "batches of which the mean square is taken")
           .needing("flow-input", {"mean-square"}),
       allocation_option(&SynflowL2::allocation, weight_allocations())},
      [](const SynflowL2& o, const PruneSettings&) -> Timeline {
        return {{at(iterative_schedule(o.rounds, 0.0, o.pace),
                    mask_update({.score = synflow_score({.parameters = FlowOf::Squares,
                                                         .input = o.input,
                                                         .batches = o.batches}),
                                 .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
