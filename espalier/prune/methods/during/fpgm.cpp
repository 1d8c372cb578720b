// SPDX-License-Identifier: Apache-2.0
/// FPGM: filters nearest to their layer's geometric median go, whatever their norm.
///
/// Source: He, Liu, Wang, Hu, Yang, arXiv 1811.00250. As in its published code, chosen filters get
/// no gradient until the next choice.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Fpgm {
  Sparsity norm_sparsity = Sparsity(0.0);
  int64_t every = 1;
};

}  // namespace

Method fpgm() {
  return make_method<Fpgm>(
      {.name = "fpgm",
       .title = "Filter pruning via geometric median",
       .paper = "He, Liu, Wang, Hu, Yang, arXiv 1811.00250",
       .year = 2019,
       .when = When::During,
       .idea = "Remove filters that the others can replace: those nearest to the geometric median "
               "of their layer, even if their norm is large.",
       .formula = "g(x) = sum_j ||F_x - F_j||_2 over the filters of the layer; the S n filters "
                  "(rounded down) with the lowest g go. With `norm-sparsity` R the R n weakest by "
                  "norm go first, and g is over the others",
       .schedule = "a choice before training, after the first epoch and then every `every`-th, "
                   "chosen filters rest at zero in between; those that rest in the last epoch are "
                   "removed; then shrink",
       .differs = "momentum of filters that rest is cleared (published: it moves them a little); "
                  "after the last epoch those that rested go, without another choice; channels of "
                  "residual sums stay; with a share taken by norm the total is S n rounded down "
                  "(published: both shares are)",
       .use_when = "No sparse kernels are there, and filters resemble each other more than they "
                   "are small.",
       .not_when = "Layers need different shares: each loses the same.",
       .patterns = {"channel"}},
      {{&Fpgm::norm_sparsity,
        "norm-sparsity",
        {0, 1},
        "fraction removed",
        "the part of the sparsity that the L2 norm chooses (the paper's mix: 0.1 of 0.4)"},
       {&Fpgm::every, "every", {1, 10'000}, "epochs", "distance of choices"}},
      [](const Fpgm& o, const PruneSettings& settings) -> Timeline {
        ESPALIER_CHECK(o.norm_sparsity <= settings.final(),
                       ValueError,
                       "prune fpgm: norm-sparsity ",
                       o.norm_sparsity.value(),
                       " is a part of the sparsity, which is only ",
                       settings.final().value());
        UpdateParts last{.score = fpgm_score(o.norm_sparsity),
                         .allocation = uniform_floor_allocation(),
                         .sites = {.single_producer_only = true}};
        UpdateParts resting = last;
        resting.candidates = Candidates::All;
        resting.effect = Effect::Rest;
        return {
            .events = {at(epochs_schedule(Epochs::BeforeTheLast, o.every), mask_update(resting)),
                       at(epochs_schedule(Epochs::Last), mask_update(last))},
            .refused = {{Ablation::Reinit, "its last choice ends the training"}}};
      });
}

}  // namespace espalier::prune::method_list
