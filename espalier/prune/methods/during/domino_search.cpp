// SPDX-License-Identifier: Apache-2.0
/// DominoSearch: another N of every M for each layer.
///
/// Source: Sun, Zhou, Stuijk, Wijnhoven, Nelson, Li, Corporaal, "DominoSearch: find layer-wise
/// fine-grained N:M sparse schemes from dense neural networks", NeurIPS 2021; published code
/// NM-sparsity/DominoSearch. The search starts from trained weights. What it finds is told as a
/// note, in the words of `--layer-pattern`, for a training with `sr-ste`, as the paper trains.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Domino {
  double decay = 0.1;
  int64_t every = 5;
  int64_t frequency = 100;
  double vote = 0.75;
  double prune_at = 0.5;
};

}  // namespace

Method domino_search() {
  return make_method<Domino>(
      {.name = "domino-search",
       .title = "DominoSearch: N:M by layer",
       .paper = "Sun, Zhou, Stuijk, Wijnhoven, Nelson, Li, Corporaal, NeurIPS 2021",
       .year = 2021,
       .when = When::During,
       .how = How::Learning,
       .idea = "Layers need different numbers of weights: with M for all, let the small weights of "
               "a trained network decay, faster in layers that compute much, and lower N of a "
               "layer as soon as most of its groups could do with less.",
       .formula =
           "T = mean of the M/2 smallest |w| of a group, at the beginning; gradient + lambda "
           "f w in every fifth step, f = (MACs / most MACs + (ERK's sparsity - sparsity) / "
           "largest distance) / 2; N - 1 where at least `vote` of the groups have fewer "
           "than N weights above T; layers follow at powers of two, until the fraction S of "
           "all prunable weights is gone, or a target met",
       .schedule = "start from trained weights; search until `prune-at`, one update there, then "
                   "fine-tuning; or train the patterns that it found with `sr-ste`",
       .differs = "what a layer loses is gone for good, at powers of two (published: also in "
                  "between, and weights may come back); where the search ends before the budget is "
                  "met, layers are halved by the same vote (published: it goes on); the budget is "
                  "of weights unless a target says MACs, parameters or bytes, met to the "
                  "halving of one layer; the published rate of the search is 0.01, without "
                  "momentum and decay",
       .use_when = "The hardware runs several N:M, a trained network is there, and layers may "
                   "differ in N.",
       .not_when = "Only one N:M is fast, or there is no trained network to search in.",
       .patterns = {"n:16", "n:8", "n:4"}},
      {{&Domino::decay, "sparse-decay", {0, 10}, "", "lambda, on the weights that are still there"},
       {&Domino::every, "penalty-every", {1, 1'000'000}, "steps", "between penalties"},
       {&Domino::frequency, "frequency", {1, 1'000'000}, "steps", "between looks at the groups"},
       {&Domino::vote, "vote", {0, 1}, "fraction of groups", "that must agree on a smaller N"},
       prune_at_option(&Domino::prune_at)},
      [](const Domino& o, const PruneSettings&) -> Timeline {
        const auto search = n_m_search(
            {.decay = o.decay, .every = o.every, .frequency = o.frequency, .vote = o.vote});
        return {
            .events = {during(0.0, o.prune_at, search), at(one_shot_schedule(o.prune_at), search)},
            .refused = no_ablation("it searches before it prunes")};
      });
}

}  // namespace espalier::prune::method_list
