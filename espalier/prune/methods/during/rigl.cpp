// SPDX-License-Identifier: Apache-2.0
/// RigL: the rigged lottery.
///
/// Source: Evci, Gale, Menick, Castro, Elsen, "Rigging the lottery: making all tickets winners",
/// arXiv 1911.11134. As in the published code a connection that is dropped competes for regrowth
/// with its value (the paper's text can be read otherwise: option just-dropped), and an update
/// takes the place of the optimizer's step. Its CIFAR networks keep the first layer dense; here it
/// is pruned like all others (uniform-dense-first, or `exclude`).
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method rigl() {
  return {
      .name = "rigl",
      .title = "RigL: the rigged lottery",
      .paper = "Evci, Gale, Menick, Castro, Elsen, arXiv 1911.11134",
      .year = 2020,
      .speedup = Speedup::Unstructured,
      .when = When::During,
      .how = How::Criterion,
      .one_shot = false,
      .global = false,
      .data_free = false,
      .regrows = true,
      .idea =
          "Train sparse from the start, and now and then move the weakest connections to where the "
          "gradient of a connection that is not there is largest.",
      .formula =
          "at step t each layer drops its k = f(t) n smallest |w| of n, f(t) = alpha / 2 (1 + "
          "cos(pi t / T_end)), and grows the k removed ones with the largest |dL/d(mw)|, from zero",
      .schedule =
          "a random mask before training; an update instead of the optimizer's step at every "
          "`frequency`-th step until `end`. Only those steps compute dense gradients",
      .differs =
          "the first layer is pruned like all others (published for CIFAR: dense, `allocation "
          "uniform-dense-first` or `exclude`)",
      .patterns = {"unstructured", "4x1", "8x1", "kernel"},
      .options =
          {
              real_option("moved-fraction", 0.3, 0.0, 1.0, "", "alpha, moved at first"),
              integer_option("frequency", 100, 1, 1'000'000, "steps", "distance of updates"),
              real_option(
                  "end", 0.75, 0.0, 1.0, "fraction of training", "T_end, no update from here on"),
              choice_option("just-dropped",
                            {"may-return", "stays-out"},
                            "whether a dropped connection may grow again in the same update"),
              allocation_option({"erk", "er", "uniform", "uniform-dense-first"}),
          },
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.initial_score = random_score();
            recipe.score = magnitude_score();
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = dynamic_schedule({.frequency = options.integer("frequency"),
                                                .end = options.real("end"),
                                                .fraction = options.real("moved-fraction")});
            recipe.regrowth = gradient_regrowth(options.text("just-dropped") == "may-return"
                                                    ? JustDropped::MayReturn
                                                    : JustDropped::StaysOut);
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
