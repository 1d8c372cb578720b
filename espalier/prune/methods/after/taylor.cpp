// SPDX-License-Identifier: Apache-2.0
/// Taylor pruning: filters by the first-order change of the loss.
///
/// Source: Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance estimation for neural network
/// pruning", arXiv 1906.10771; forms `sum-of-squares` (there, equation 7) and `absolute`
/// (Molchanov et al., arXiv 1611.06440). 30 mini-batches and a momentum of 0.9 across rounds as in
/// the published code. Layers that make a residual stream share a gate, whose gradient is
/// the sum of theirs, as with the published code's one gate behind all blocks of a stage; its
/// division by the number of blocks, the same for all channels of a stream, is left out.
/// Mini-batches are scored at the update, with the weights of that moment, not collected over the
/// steps before it; batch norm uses the batch's statistics, as in those steps. With running ones
/// (`scoring-mode eval`) other filters go: of the lowest 30 % of a ResNet-20 four in ten are the
/// same.
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/taylor.h>

namespace espalier::prune::method_list {
namespace {

TaylorForm form_of(const std::string& text) {
  if (text == "sum-of-squares") return TaylorForm::SumOfSquares;
  if (text == "absolute") return TaylorForm::AbsoluteMean;
  return TaylorForm::Gate;
}

}  // namespace

Method taylor() {
  return {
      .name = "taylor",
      .title = "Taylor pruning, first order",
      .paper = "Molchanov, Mallya, Tyree, Frosio, Kautz, arXiv 1906.10771",
      .year = 2019,
      .speedup = Speedup::Structured,
      .when = When::After,
      .how = How::Criterion,
      .one_shot = false,
      .global = true,
      .data_free = false,
      .idea =
          "Multiply every channel by a gate of 1: the gradient of the loss with respect to the "
          "gate tells how much the loss would change without the channel.",
      .formula =
          "s = (dL/dz)^2 = (sum of g w)^2, the gate z after the layer's batch norm, of the mean "
          "loss of a mini-batch; averaged over mini-batches, and over rounds with momentum",
      .schedule =
          "start from trained weights; `rounds` updates spread evenly over the first part of "
          "fine-tuning; then shrink",
      .differs =
          "mini-batches are scored at an update, with the weights of that moment, where the "
          "published code collects them over the training steps before it; the scores of a "
          "residual stream are not divided by its number of blocks",
      .patterns = {"channel"},
      .options =
          {
              integer_option("rounds", 10, 1, 100'000, "", "updates"),
              until_option(0.5),
              choice_option("form",
                            {"gate", "sum-of-squares", "absolute"},
                            "square of the sum, sum of squares, or the absolute form of 2016"),
              batches_option(30),
              real_option("score-momentum",
                          0.9,
                          0.0,
                          0.999,
                          "",
                          "share of the last round's scores in the next round's"),
              scoring_mode_option(ScoringMode::Train),
              allocation_option({"global", "uniform"}),
          },
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.score = taylor_score({.form = form_of(options.text("form")),
                                         .batches = options.integer("batches"),
                                         .momentum = options.real("score-momentum"),
                                         .mode = scoring_mode(options)});
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = iterative_schedule(options.integer("rounds"), options.real("until"));
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
