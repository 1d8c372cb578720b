// SPDX-License-Identifier: Apache-2.0
/// Soft filter pruning: the weakest filters are set to zero after every epoch, and train on.
///
/// Source: He, Kang, Dong, Fu, Yang, "Soft filter pruning for accelerating deep convolutional
/// neural networks", arXiv 1808.06866. Sparsity is the removed fraction (the published code's
/// `rate` is the kept one). Only channels that can go physically are pruned: in basic blocks the
/// first convolution, where the paper also zeroes filters that a residual sum keeps alive. Units of
/// hidden linear layers, which its networks don't have, count as filters (`exclude` keeps them).
#include <espalier/prune/epoch_filters.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method soft_filter() {
  return {
      .name = "sfp",
      .title = "Soft filter pruning",
      .paper = "He, Kang, Dong, Fu, Yang, arXiv 1808.06866",
      .year = 2018,
      .speedup = Speedup::Structured,
      .when = When::During,
      .how = How::Criterion,
      .one_shot = false,
      .global = false,
      .data_free = true,
      .regrows = true,
      .idea =
          "Set weak filters to zero after every epoch but let them train on: those that matter "
          "grow back, and only the last choice is final.",
      .formula =
          "s = ||F||_2 of a filter; every layer's S n filters (rounded down) with the lowest s "
          "become zero",
      .schedule =
          "a choice before training, after the first epoch and then every `every`-th, momentum and "
          "gradients untouched; the choice after the last epoch removes the channels; then shrink",
      .differs =
          "channels of residual sums stay (published: their filters are zeroed, though the sum "
          "keeps them alive)",
      .patterns = {"channel"},
      .options = {integer_option("every", 1, 1, 10'000, "epochs", "distance of choices")},
      .make =
          [](const OptionValues& options,
             const PruneSettings& settings,
             const PruneInputs& inputs) {
            return std::make_unique<EpochFilterPruner>(
                filter_norm_score(),
                EpochFilterOptions{.until_next = UntilNextChoice::Train,
                                   .every_epochs = options.integer("every")},
                settings,
                inputs);
          },
      .score = [](const OptionValues&) { return filter_norm_score(); },
  };
}

}  // namespace espalier::prune::method_list
