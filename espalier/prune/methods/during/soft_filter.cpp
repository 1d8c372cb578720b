// SPDX-License-Identifier: Apache-2.0
/// Soft filter pruning: the weakest filters are set to zero after every epoch, and train on.
///
/// Source: He, Kang, Dong, Fu, Yang, arXiv 1808.06866. Sparsity is the removed fraction (the
/// published code's `rate` is the kept one). Units of hidden linear layers, which its networks
/// don't have, count as filters (`exclude` keeps them).
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Sfp {
  int64_t every = 1;
};

}  // namespace

Method soft_filter() {
  return make_method<Sfp>(
      {.name = "sfp",
       .title = "Soft filter pruning",
       .paper = "He, Kang, Dong, Fu, Yang, arXiv 1808.06866",
       .year = 2018,
       .when = When::During,
       .idea = "Set weak filters to zero after every epoch but let them train on: those that "
               "matter grow back, and only the last choice is final.",
       .formula = "s = ||F||_2 of a filter; every layer's S n filters (rounded down) with the "
                  "lowest s become zero",
       .schedule = "a choice before training, after the first epoch and then every `every`-th, "
                   "momentum and gradients untouched; the choice after the last epoch removes the "
                   "channels; then shrink",
       .differs = "channels of residual sums stay (published: their filters are zeroed, though the "
                  "sum keeps them alive)",
       .use_when = "No sparse kernels are there, and filters may be chosen while the network "
                   "trains.",
       .not_when = "Residual sums hold most channels, which stay, or fine-tuning a trained "
                   "network is enough.",
       .patterns = {"channel"}},
      {{&Sfp::every, "every", {1, 10'000}, "epochs", "distance of choices"}},
      [](const Sfp& o, const PruneSettings&) -> Timeline {
        UpdateParts choice{.score = filter_norm_score(),
                           .allocation = uniform_floor_allocation(),
                           .candidates = Candidates::All,
                           .sites = {.single_producer_only = true}};
        UpdateParts soft = choice;
        soft.effect = Effect::Zero;
        return {.events = {at(epochs_schedule(Epochs::BeforeTheLast, o.every), mask_update(soft)),
                           at(epochs_schedule(Epochs::Last), mask_update(choice))},
                .refused = {{Ablation::Reinit, "its last choice ends the training"}}};
      });
}

}  // namespace espalier::prune::method_list
