// SPDX-License-Identifier: Apache-2.0
/// MetaPruning: a network that makes the weights of networks of all widths judges them, and the
/// best is trained from scratch.
///
/// Source: Liu, Mu, Zhang, Guo, Yang, Cheng, Sun, "MetaPruning: meta learning for automatic neural
/// network channel pruning", arXiv 1903.10258, and its published code; see
/// nn/forms/generated_weight.h and search/shares.h. The published code measures batch norm on 100
/// batches with a momentum of 0.1, which weighs as much as a mean over 19; here it is the mean over
/// `norm-batches`, 20.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/actions/generated_weights.h>
#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/leading.h>
#include <espalier/prune/search/shares.h>

namespace espalier::prune::method_list {
namespace {

struct MetaPruning {
  int64_t hidden = 32;
  int64_t widths = 31;
  double least = 0.1;
  double prune_at = 0.5;
  int64_t episodes = 1000;
  int64_t population = 50;
  int64_t parents = 10;
  double mutated = 0.1;
  int64_t held_out = 5000;
  int64_t norm_batches = 20;
};

}  // namespace

Method meta_pruning() {
  return make_method<MetaPruning>(
      {.name = "meta-pruning",
       .title = "MetaPruning",
       .paper = "Liu, Mu, Zhang, Guo, Yang, Cheng, Sun, arXiv 1903.10258",
       .year = 2019,
       .when = When::Before,
       .how = How::Learning,
       .idea = "A pruned network is worth what its widths are worth, and these can be judged "
               "without training each: train one small network for every layer that makes the "
               "layer's weights from the widths, and search among the networks that it makes.",
       .formula =
           "W = crop of G relu(E v + a) + c, v = (inputs in use / all, outputs in use / all); in "
           "each step every layer has a width of `widths`, its first channels; then evolution by "
           "the accuracy of what is made, batch norm measured anew: the `parents` best have "
           "mutants and crossovers, and what costs more than the target is not tried",
       .schedule = "random widths until `prune-at`; the search there, of `episodes` networks; all "
                   "weights are drawn anew, and what the best one keeps is trained; then shrink",
       .differs =
           "c begins as the layers' own initial weights; layers of one sum have one width; all "
           "widths share batch norm's scales and shifts (published: one batch norm for each "
           "width); after 20 refusals a candidate is lowered width by width until it is within "
           "the target (published: drawn until one is); half of a generation are mutants, half "
           "crossovers, and what the best leaves of the target is given back to all layers; "
           "how one training is divided, `prune-at` 0.5, is ours",
       .use_when = "Only the widths are wanted, and a training as long as the network's own can be "
                   "paid for to judge hundreds of them.",
       .not_when = "Layers are large: the generating network has `hidden` weights for each of "
                   "theirs; or trained weights are to be kept.",
       .patterns = {"channel"}},
      {{&MetaPruning::hidden, "hidden", {1, 65536}, "units", "of each generating network"},
       {&MetaPruning::widths, "widths", {2, 1000}, "", "that a layer may have, up to all of it"},
       {&MetaPruning::least, "least", {0.001, 0.999}, "of a layer's units", "the smallest width"},
       {&MetaPruning::prune_at,
        "prune-at",
        {0, 1},
        "fraction of training",
        "end of the training of the generating network"},
       {&MetaPruning::episodes, "episodes", {1, 1'000'000}, "", "networks that are tried"},
       {&MetaPruning::population, "population", {1, 100'000}, "networks", "of a generation"},
       {&MetaPruning::parents,
        "parents",
        {1, 100'000},
        "networks",
        "the best, which have children"},
       {&MetaPruning::mutated, "mutated", {0, 1}, "of a mutant's widths", "that change"},
       {&MetaPruning::held_out,
        "held-out",
        {1, 1e9},
        "samples of training data",
        "on which networks are judged, half of the data at most"},
       {&MetaPruning::norm_batches,
        "norm-batches",
        {1, 1'000'000},
        "",
        "batches on which batch norm's statistics are measured before a network is judged"}},
      [](const MetaPruning& o, const PruneSettings&) -> Timeline {
        // The update comes before the forms are folded: candidates are made by them.
        return {.events = {at(one_shot_schedule(o.prune_at),
                              mask_update({.score = leading_score(),
                                           .search = shares_search({.candidates = o.episodes,
                                                                    .population = o.population,
                                                                    .parents = o.parents,
                                                                    .mutated = o.mutated,
                                                                    .least = o.least,
                                                                    .widths = o.widths}),
                                           .oracle = {.samples = o.held_out,
                                                      .norm_batches = o.norm_batches},
                                           .min_per_layer = 1})),
                           during(0.0,
                                  o.prune_at,
                                  train_under_forms({.kind = "generated-weight",
                                                     .put_on =
                                                         [o](const Subject& subject) {
                                                           put_generated_weights(subject, o.hidden);
                                                         },
                                                     .mask = nn::FoldedMask::OfWeight})),
                           during(0.0, o.prune_at, random_widths({o.least, 1.0, o.widths})),
                           during(o.prune_at, o.prune_at, set_weights(draw_afresh))},
                .refused = {{Ablation::Reinit, "it draws all weights anew itself"}}};
      });
}

}  // namespace espalier::prune::method_list
