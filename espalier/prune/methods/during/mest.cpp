// SPDX-License-Identifier: Apache-2.0
/// MEST: memory-economic sparse training.
///
/// Source: Yuan, Ma, Niu, ..., Wang, Lin, arXiv 2110.14032, and its published code: an update every
/// five epochs, stages that change at the epochs 90 and 120 of 160.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Mest {
  double lambda = 0.01;
  double mutated = 0.2;
  int64_t frequency = 0;
  double half_from = 0.5625;
  double end = 0.75;
  MemoryBound bound = MemoryBound::Hard;
  ScoringMode mode = ScoringMode::Train;
  std::string allocation = "uniform";
};

}  // namespace

Method mest() {
  return make_method<Mest>(
      {.name = "mest",
       .title = "MEST: memory-economic sparse training",
       .paper = "Yuan, Ma, Niu and others, arXiv 2110.14032",
       .year = 2021,
       .when = When::During,
       .idea = "Train sparse without ever storing more than the sparse network: drop what is small "
               "and has a small gradient, grow at random, and mutate less and less.",
       .formula =
           "of each layer's k weights the `mutated` k with the smallest |w| + lambda |dL/dw| "
           "go, and as many grow uniformly at random, from zero; with a soft bound "
           "`mutated` k more grow first, and as many go at the next update",
       .schedule = "a random mask before training; an update every five epochs (or every "
                   "`frequency` steps), half of the mutation from `half-from` on, none from `end` "
                   "on, where the sparsity is the one asked for",
       .differs =
           "lambda is 0.01 (published code: 0 unless asked for, which is SET with a falling rate; "
           "the paper's own value could not be checked). The gradient is of one batch drawn for "
           "the update. A connection that was just dropped does not grow again in the same update. "
           "First convolution and classifier are pruned too (published: dense, `exclude`)",
       .use_when = "Training must be sparse in memory too: no dense gradient is ever asked "
                   "for.",
       .not_when = "Updates may look at dense gradients: rigl grows by them.",
       .patterns = {"unstructured", "4x1", "kernel"}},
      {{&Mest::lambda, "lambda", {0, 1e6}, "", "weight of the gradient in the score; 0: |w| alone"},
       {&Mest::mutated, "mutated", {0, 0.99}, "of the kept weights", "exchanged at first"},
       {&Mest::frequency,
        "frequency",
        {0, 1'000'000},
        "steps",
        "distance of updates; 0: five epochs"},
       {&Mest::half_from, "half-from", {0, 1}, "fraction of training", "half as many from here on"},
       {&Mest::end, "end", {0, 1}, "fraction of training", "none from here on"},
       {&Mest::bound,
        "memory-bound",
        {"hard", "soft"},
        "between updates there are as many weights as asked for, or up to `mutated` more, of which "
        "each update keeps the best"},
       scoring_mode_option(&Mest::mode),
       allocation_option(&Mest::allocation, {"uniform", "uniform-dense-first", "er", "erk"})},
      [](const Mest& o, const PruneSettings&) -> Timeline {
        const std::shared_ptr<Allocation> sizes = make_allocation(o.allocation);
        return {
            {at(one_shot_schedule(), mask_update({.score = random_score(), .allocation = sizes})),
             at(mutation_schedule({.frequency = o.frequency,
                                   .fraction = o.mutated,
                                   .half_from = o.half_from,
                                   .end = o.end,
                                   .bound = o.bound}),
                mask_update({.score = weight_and_gradient_score(o.lambda, o.mode),
                             .allocation = sizes,
                             .growth = random_growth(),
                             .growth_allocation = sizes}))}};
      });
}

}  // namespace espalier::prune::method_list
