// SPDX-License-Identifier: Apache-2.0
/// NeST: a network that grows from a seed and is pruned afterwards.
///
/// Source: Dai, Yin, Jha, arXiv 1711.02017. There is no published code; neurons grow inside of the
/// network that is given, whose unused places are masked.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Nest {
  double seed = 0.5;
  double neurons = 0.5;
  double grown = 2.0;
  int64_t rounds = 10;
  double grow_until = 0.3;
  double prune_until = 0.8;
  double bridges = 0.01;
  double birth_strength = 0.3;
  std::string allocation = "uniform";
};

/// The sparsity at which there are `factor` times as many weights as in the end.
Sparsity times(const Sparsity& final, double factor) {
  return Density(std::min(factor * final.density().value(), 1.0)).sparsity();
}

}  // namespace

Method nest() {
  return make_method<Nest>(
      {.name = "nest",
       .title = "NeST: grow and prune",
       .paper = "Dai, Yin, Jha, arXiv 1711.02017",
       .year = 2017,
       .when = When::During,
       .idea = "Begin with a small sparse seed, let connections and neurons grow where the loss "
               "asks for them, and prune the small ones when the network is good.",
       .formula = "grow: the removed connections of a layer with the largest |dL/du x|, from zero; "
                  "a neuron without inputs or outputs gets connections where |B| is largest, B = "
                  "dL/du x of the inputs x of its layer and the outputs u of the next, of the size "
                  "sqrt|B| and with product -B. Prune: the smallest |w| of a layer",
       .schedule =
           "a random seed of `seed-weights` times the final number of weights, of which each "
           "neuron has one in and one out; `rounds` of growth until `grow-until`, up to "
           "`grown-weights` times the final number; as many of pruning until `prune-until`",
       .differs =
           "how much grows and when follows from the schedule (published: a growth ratio for each "
           "layer, until the accuracy is reached); as many weights as the final number says stay. "
           "Neurons grow one a round and layer, between linear layers alone (published: feature "
           "maps too, the best of random ones). Batch norm is not folded into the size of a "
           "weight, and no part of a feature map's area is pruned. The sizes of the seed, of the "
           "grown network and of a neuron's bridges are ours",
       .use_when = "A network of linear layers without batch norm is to grow from a small seed.",
       .not_when = "The network is convolutional: its feature maps do not grow.",
       .patterns = {"unstructured"}},
      {{&Nest::seed, "seed-weights", {0.01, 1}, "of the final number", "in the seed"},
       {&Nest::neurons, "seed-neurons", {0.01, 1}, "of each hidden layer", "in the seed"},
       {&Nest::grown, "grown-weights", {1, 1000}, "times the final number", "after the growth"},
       rounds_option(&Nest::rounds),
       {&Nest::grow_until, "grow-until", {0, 1}, "fraction of training", "end of the growth"},
       {&Nest::prune_until, "prune-until", {0, 1}, "fraction of training", "end of the pruning"},
       {&Nest::bridges, "bridges", {0, 1}, "of a layer", "that a new neuron takes; 0: none grow"},
       {&Nest::birth_strength,
        "birth-strength",
        {0, 100},
        "of the layer's mean size",
        "mean size of a new neuron's weights"},
       allocation_option(&Nest::allocation, {"uniform", "uniform-dense-first", "er", "erk"})},
      [](const Nest& o, const PruneSettings& settings) -> Timeline {
        const Sparsity seed = times(settings.final(), o.seed);
        const Sparsity grown = times(settings.final(), o.grown);
        const std::shared_ptr<Allocation> sizes = make_allocation(o.allocation);
        const BetweenOptions growth{
            .end = o.grow_until, .rounds = o.rounds, .from = seed, .to = grown};
        const BetweenOptions pruning{
            .begin = o.grow_until, .end = o.prune_until, .rounds = o.rounds, .from = grown};
        return {{at(one_shot_schedule(0.0, seed),
                    mask_update({.score = spanning_score(o.neurons), .allocation = sizes})),
                 at(between_schedule(growth),
                    grow_neurons({.fraction = o.bridges, .birth_strength = o.birth_strength})),
                 at(between_schedule(growth),
                    mask_update({.score = magnitude_score(),
                                 .allocation = living_allocation(),
                                 .growth = gradient_growth(),
                                 .growth_allocation = sizes})),
                 at(between_schedule(pruning),
                    mask_update({.score = magnitude_score(), .allocation = sizes}))}};
      });
}

}  // namespace espalier::prune::method_list
