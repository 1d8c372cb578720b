// SPDX-License-Identifier: Apache-2.0
/// SET: sparse evolutionary training.
///
/// Source: Mocanu, Mocanu, Stone, Nguyen, Gibescu, Liotta, "Scalable training of artificial neural
/// networks with adaptive sparse connectivity inspired by network science", arXiv 1707.04780. The
/// sparsity sets the densities (the paper: a constant epsilon), new weights start at zero. ERK is
/// its rule with the kernel's size in it, the same for linear layers; `er` is the paper's own. The
/// published code keeps the output layer dense (here: `exclude`).
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method set() {
  return {
      .name = "set",
      .title = "SET: sparse evolutionary training",
      .paper = "Mocanu, Mocanu, Stone, Nguyen, Gibescu, Liotta, arXiv 1707.04780",
      .year = 2018,
      .speedup = Speedup::Unstructured,
      .when = When::During,
      .how = How::Criterion,
      .one_shot = false,
      .global = false,
      .data_free = true,
      .regrows = true,
      .idea =
          "Train a sparse random network from the start, and again and again replace the weights "
          "nearest to zero by new ones at random places.",
      .formula =
          "of each layer's kept weights the fraction zeta with the smallest positive and the "
          "largest negative values goes, and equally many grow uniformly at random, from zero",
      .schedule =
          "a random mask before training; an update after every epoch (or every `frequency` "
          "steps) but the last",
      .differs =
          "a weight that was just dropped does not grow again in the same update; in the "
          "published code any empty place is drawn, those just emptied among them (3 in 100 at "
          "90 % sparsity and zeta 0.3). Its comparisons drop up to two weights more per layer; "
          "it keeps the output layer dense (`exclude`). Densities follow from the sparsity "
          "(published: a constant epsilon)",
      .patterns = {"unstructured"},
      .options =
          {
              real_option("moved-fraction", 0.3, 0.0, 1.0, "", "zeta, replaced in an update"),
              integer_option(
                  "frequency", 0, 0, 1'000'000, "steps", "distance of updates; 0: an epoch"),
              real_option("end", 1.0, 0.0, 1.0, "fraction of training", "no update from here on"),
              allocation_option({"erk", "er", "uniform", "uniform-dense-first"}),
          },
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.initial_score = random_score();
            recipe.score = sign_quantile_score();
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = dynamic_schedule({.frequency = options.integer("frequency"),
                                                .end = options.real("end"),
                                                .fraction = options.real("moved-fraction"),
                                                .decay = MovedDecay::Constant,
                                                .at_first_step = false});
            recipe.regrowth = random_regrowth();
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
