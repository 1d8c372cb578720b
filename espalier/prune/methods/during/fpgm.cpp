// SPDX-License-Identifier: Apache-2.0
/// FPGM: filters nearest to their layer's geometric median go, whatever their norm.
///
/// Source: He, Liu, Wang, Hu, Yang, "Filter pruning via geometric median", arXiv 1811.00250. As in
/// its published code, chosen filters get no gradient until the next choice; their momentum is
/// cleared too (there it moves them a little), and those that rested through the last epoch are
/// removed, without another choice after it. Only channels that can go physically are pruned: in
/// basic blocks the first convolution, and units of hidden linear layers, which the paper's
/// networks don't have (`exclude` keeps them). With a share taken by norm the total is still S n
/// rounded down; the published code rounds both shares, and can take one filter fewer.
#include <espalier/prune/epoch_filters.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method fpgm() {
  return {
      .name = "fpgm",
      .title = "Filter pruning via geometric median",
      .paper = "He, Liu, Wang, Hu, Yang, arXiv 1811.00250",
      .year = 2019,
      .speedup = Speedup::Structured,
      .when = When::During,
      .how = How::Criterion,
      .one_shot = false,
      .global = false,
      .data_free = true,
      .regrows = true,
      .idea =
          "Remove filters that the others can replace: those nearest to the geometric median of "
          "their layer, even if their norm is large.",
      .formula =
          "g(x) = sum_j ||F_x - F_j||_2 over the filters of the layer; the S n filters (rounded "
          "down) with the lowest g go. With `norm-sparsity` R the R n weakest by norm go first, "
          "and g is over the others",
      .schedule =
          "a choice before training, after the first epoch and then every `every`-th, chosen "
          "filters "
          "rest at zero in between; those that rest in the last epoch are removed; then shrink",
      .differs =
          "momentum of filters that rest is cleared (published: it moves them a little); after "
          "the last epoch those that rested go, without another choice; channels of residual "
          "sums stay; with a share taken by norm the total is S n rounded down (published: both "
          "shares are)",
      .patterns = {"channel"},
      .options =
          {
              real_option("norm-sparsity",
                          0.0,
                          0.0,
                          1.0,
                          "fraction removed",
                          "the part of the sparsity that the L2 norm chooses (the paper's mix: "
                          "0.1 of 0.4)"),
              integer_option("every", 1, 1, 10'000, "epochs", "distance of choices"),
          },
      .make =
          [](const OptionValues& options,
             const PruneSettings& settings,
             const PruneInputs& inputs) {
            const Sparsity by_norm(options.real("norm-sparsity"));
            ESPALIER_CHECK(by_norm.value() <= settings.sparsity.value(),
                           ValueError,
                           "prune fpgm: norm-sparsity ",
                           by_norm.value(),
                           " is a part of the sparsity, which is only ",
                           settings.sparsity.value());
            return std::make_unique<EpochFilterPruner>(
                fpgm_score(by_norm),
                EpochFilterOptions{.until_next = UntilNextChoice::Rest,
                                   .every_epochs = options.integer("every")},
                settings,
                inputs);
          },
      .score =
          [](const OptionValues& options) {
            return fpgm_score(Sparsity(options.real("norm-sparsity")));
          },
  };
}

}  // namespace espalier::prune::method_list
