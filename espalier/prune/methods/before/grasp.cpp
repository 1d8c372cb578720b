// SPDX-License-Identifier: Apache-2.0
/// GraSP: gradient signal preservation.
///
/// Source: Wang, Zhang, Grosse, "Picking winning tickets before training by preserving gradient
/// flow", arXiv 2002.07376. The weights that are trained are scored (the published code scores
/// freshly drawn linear layers). Structured patterns score a filter or channel by the signed sum of
/// its weights' scores, with running statistics where the batch's would make that sum the filter's
/// squared gradient (see scores/grasp.cpp).
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune::method_list {
namespace {

std::optional<ScoringMode> mode_of(const std::string& text) {
  if (text == "auto") return {};
  return text == "train" ? ScoringMode::Train : ScoringMode::Eval;
}

}  // namespace

Method grasp() {
  return {
      .name = "grasp",
      .title = "GraSP: gradient signal preservation",
      .paper = "Wang, Zhang, Grosse, arXiv 2002.07376",
      .year = 2020,
      .speedup = Speedup::Unstructured,
      .when = When::Before,
      .how = How::Criterion,
      .one_shot = true,
      .global = true,
      .data_free = false,
      .idea =
          "Before training, remove the weights without which the gradient stays largest, so that "
          "what is left learns fast.",
      .formula =
          "S = -w (H g), g and H the gradient and the Hessian of the loss of logits / T; the "
          "largest S are removed",
      .schedule =
          "one update before training, from balanced samples; then train with the mask fixed",
      .differs =
          "exactly S n weights go; the published code keeps the one on the threshold too, one "
          "more than asked. The weights that are trained are scored; there the linear layers "
          "are drawn anew for the score. Sums over whole filters, which it does not make, are of "
          "running statistics: under the batch's they are the filters' squared gradients",
      .patterns =
          {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "2:4g4", "channel"},
      .options =
          {
              integer_option("samples-per-class", 10, 1, 100'000, "", "in each iteration"),
              integer_option("scoring-iterations", 1, 1, 1000, "", "draws of samples, summed"),
              real_option(
                  "loss-temperature", 200.0, 1e-6, 1e9, "", "T, by which logits are divided"),
              choice_option("scoring-mode",
                            {"auto", "train", "eval"},
                            "batch norm while scoring: the batch's statistics (train), running "
                            "ones (eval), or the batch's unless scores are summed over filters "
                            "that it makes free of scale (auto)"),
              choice_option("scoring-precision",
                            {"float64", "float32"},
                            "of the gradients of gradients; float32 is ten times as fast and "
                            "chooses a few other weights in a thousand"),
              allocation_option({"global", "uniform", "uniform-dense-first", "er", "erk"}),
          },
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.score = grasp_score({.samples_per_class = options.integer("samples-per-class"),
                                        .iterations = options.integer("scoring-iterations"),
                                        .temperature = options.real("loss-temperature"),
                                        .mode = mode_of(options.text("scoring-mode")),
                                        .precision = options.text("scoring-precision") == "float32"
                                                         ? DType::F32
                                                         : DType::F64});
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = one_shot_schedule();
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
