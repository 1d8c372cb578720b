// SPDX-License-Identifier: Apache-2.0
/// SSL, structured sparsity learning: a group lasso whose groups are filters and input channels.
///
/// Source: Wen, Wu, Wang, Chen, Li, arXiv 1608.03665. No factor for the size of a group, as in the
/// published code. A subgradient never reaches zero, so that small weights are cut after every
/// step; at large rates, where it oscillates beyond the cut, `select zeros` needs the proximal
/// step.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Ssl {
  double filters = 3e-3;
  double channels = 3e-3;
  LassoStep step = LassoStep::Subgradient;
  Select select = Select::Sparsity;
  std::string allocation = "uniform";
  double prune_at = 0.5;
};

}  // namespace

Method ssl() {
  return make_method<Ssl>(
      {.name = "ssl",
       .title = "Structured sparsity learning",
       .paper = "Wen, Wu, Wang, Chen, Li, arXiv 1608.03665",
       .year = 2016,
       .when = When::During,
       .how = How::Learning,
       .idea = "Penalize the norms of filters and of input channels, not their squares: whole "
               "groups then go to zero while the network trains, and can be cut out.",
       .formula = "loss + l_n * sum over filters of ||W[n,:,:,:]||_2 + l_c * sum over input "
                  "channels of ||W[:,c,:,:]||_2; a channel's score is the product of the norm that "
                  "makes it and the norm that reads it",
       .schedule =
           "penalty until `prune-at`, one update there, then fine-tuning without it; then shrink",
       .differs = "of the groups, filters and input channels are here, filter shapes and whole "
                  "layers are not; input channels have the strength that is published for shapes; "
                  "only groups that can go physically are penalized",
       .use_when = "No sparse kernels are there, the training can take a penalty, and there may "
                   "be no batch norm.",
       .not_when = "The penalty's strength can't be tuned: it decides how near to zero groups are "
                   "when they go.",
       .patterns = {"channel"}},
      {{&Ssl::filters,
        "filter-strength",
        {0, 10},
        "",
        "l_n; with momentum m it acts 1/(1-m) times, as published"},
       {&Ssl::channels, "channel-strength", {0, 10}, "", "l_c, likewise"},
       {&Ssl::step,
        "step",
        {"subgradient", "proximal"},
        "add to the gradient and cut weights below 1e-4, or shrink groups after each step by as "
        "much, to exactly zero"},
       {&Ssl::select,
        "select",
        {"sparsity", "zeros"},
        "remove the weakest channels down to the sparsity, or exactly those that training brought "
        "to zero (at large rates with step proximal)"},
       allocation_option(&Ssl::allocation, {"uniform", "global"}),
       prune_at_option(&Ssl::prune_at)},
      [](const Ssl& o, const PruneSettings&) -> Timeline {
        return {
            .events = {during(0.0,
                              o.prune_at,
                              channel_group_lasso(
                                  {.filters = o.filters, .channels = o.channels, .step = o.step})),
                       at(one_shot_schedule(o.prune_at),
                          mask_update({.score = channel_group_norm_score(),
                                       .allocation = allocation_of(
                                           o.select, 0.0, make_allocation(o.allocation))}))},
            .refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
