// SPDX-License-Identifier: Apache-2.0
/// L1-norm filter pruning: whole filters with their batch norm and the next layer's inputs, so that
/// shrinking the network afterwards changes nothing.
///
/// Source: Li, Kadav, Durdanovic, Samet, Graf, arXiv 1608.08710.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct L1Filters {
  int64_t rounds = 1;
};

}  // namespace

Method l1_filters() {
  return make_method<L1Filters>(
      {.name = "l1-filters",
       .title = "L1-norm filter pruning",
       .paper = "Li, Kadav, Durdanovic, Samet, Graf, arXiv 1608.08710",
       .year = 2017,
       .idea = "A filter with small weights makes a weak feature map: remove the filter, its batch "
               "norm, and the next layer's input channel.",
       .formula = "s_j = sum of |w| over filter j; every layer loses the fraction S of its filters "
                  "(of filters, not of weights) with the lowest s_j",
       .schedule = "start from trained weights; one update before fine-tuning, or `rounds` updates "
                   "spread evenly over it; then shrink",
       .differs = "channels that a residual sum ties together stay, as published; of the paper's "
                  "two ways to count, the norm is over all input channels (independent)",
       .use_when = "A trained network must get faster in any dense engine, with some fine-tuning.",
       .not_when = "Layers need different shares, or channels that residual sums tie together "
                   "must go too.",
       .patterns = {"channel"}},
      {rounds_option(&L1Filters::rounds)},
      [](const L1Filters& o, const PruneSettings&) -> Timeline {
        return {{at(iterative_schedule(o.rounds, 1.0),
                    mask_update({.score = magnitude_score(),
                                 .allocation = uniform_allocation(),
                                 .sites = {.single_producer_only = true}}))}};
      });
}

}  // namespace espalier::prune::method_list
