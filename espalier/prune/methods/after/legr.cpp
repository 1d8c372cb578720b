// SPDX-License-Identifier: Apache-2.0
/// LeGR: a global ranking of filters that is learned, layer by layer, by trying.
///
/// Source: Chin, Ding, Zhang, Marculescu, "Towards efficient model compression via learned global
/// ranking", arXiv 1904.12368, and its published code.
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/search/ranking.h>

namespace espalier::prune::method_list {
namespace {

struct LeGR {
  int64_t episodes = 400;
  int64_t population = 64;
  int64_t parents = 16;
  double mutated = 0.1;
  double least = 0.1;
  int64_t held_out = 5000;
  int64_t norm_batches = 0;
};

}  // namespace

Method legr() {
  return make_method<LeGR>(
      {.name = "legr",
       .title = "LeGR: a learned global ranking of filters",
       .paper = "Chin, Ding, Zhang, Marculescu, arXiv 1904.12368",
       .year = 2019,
       .how = How::Learning,
       .idea =
           "Norms of filters of different layers do not compare. Give each layer a factor and a "
           "shift so that they do, and let evolution find them by what the network is worth "
           "that one ranking of all filters leaves.",
       .formula = "I_li = alpha_l ||F_li||_2^2 + kappa_l, summed over layers that a sum ties "
                  "together; the lowest go until the target is met. alpha = exp(N(0, s)), kappa = "
                  "N(0, std of the layer's norms), a mutant's times and beside its parent's, s "
                  "from 1 down to 0.2; reward: accuracy without training",
       .schedule = "start from trained weights; one update before fine-tuning, after `episodes` "
                   "rankings without training; then shrink",
       .differs =
           "factors and shifts are learned for the target that is asked (published: once at the "
           "smallest network, for all targets) and mutate apart, each with probability `mutated` "
           "(published code: both of a tenth of the layers); s falls from the first candidate on "
           "(published code: 1 for the first 64); the reward is the accuracy (published code: the "
           "loss); candidates are not trained (published: 200 steps, for ResNet-56 on CIFAR none); "
           "what the best ranking leaves of the target is given back to all layers",
       .use_when = "Layers' norms do not compare, and hundreds of evaluations can be paid for.",
       .not_when = "Evaluations are costly, or there are no labels on which to judge rankings.",
       .patterns = {"channel", "filter"}},
      {{&LeGR::episodes, "episodes", {1, 1'000'000}, "", "rankings that are tried"},
       {&LeGR::population, "population", {1, 100'000}, "rankings", "of the evolution"},
       {&LeGR::parents, "parents", {1, 100'000}, "rankings", "of which the best has a mutant"},
       {&LeGR::mutated, "mutated", {0, 1}, "of a ranking's numbers", "that change in a mutant"},
       {&LeGR::least, "least", {0, 1}, "of a layer's units", "no layer keeps less"},
       {&LeGR::held_out,
        "held-out",
        {1, 1e9},
        "samples of training data",
        "on which networks are judged, half of the data at most"},
       {&LeGR::norm_batches,
        "norm-batches",
        {0, 1'000'000},
        "",
        "batches on which batch norm's statistics are measured before a network is judged"}},
      [](const LeGR& o, const PruneSettings&) -> Timeline {
        return {{at(one_shot_schedule(),
                    mask_update({.score = square_score(),
                                 .search = ranking_search({.candidates = o.episodes,
                                                           .population = o.population,
                                                           .parents = o.parents,
                                                           .mutated = o.mutated,
                                                           .least = o.least}),
                                 .oracle = {.samples = o.held_out, .norm_batches = o.norm_batches},
                                 .min_per_layer = 1,
                                 .max_layer_sparsity = Sparsity(1.0 - o.least)}))}};
      });
}

}  // namespace espalier::prune::method_list
