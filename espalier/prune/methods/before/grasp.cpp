// SPDX-License-Identifier: Apache-2.0
/// GraSP: gradient signal preservation.
///
/// Source: Wang, Zhang, Grosse, "Picking winning tickets before training by preserving gradient
/// flow", arXiv 2002.07376; see scores/grasp.cpp.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class Mode : uint8_t { Auto, Train, Eval };
struct Grasp {
  int64_t samples = 10;
  int64_t iterations = 1;
  double temperature = 200.0;
  Mode mode = Mode::Auto;
  std::string precision = "float64";
  std::string allocation = "global";
};

GraspOptions score_options(const Grasp& o) {
  GraspOptions options{.samples_per_class = o.samples,
                       .iterations = o.iterations,
                       .temperature = o.temperature,
                       .precision = o.precision == "float32" ? DType::F32 : DType::F64};
  if (o.mode != Mode::Auto)
    options.mode = o.mode == Mode::Train ? ScoringMode::Train : ScoringMode::Eval;
  return options;
}

}  // namespace

Method grasp() {
  return make_method<Grasp>(
      {.name = "grasp",
       .title = "GraSP: gradient signal preservation",
       .paper = "Wang, Zhang, Grosse, arXiv 2002.07376",
       .year = 2020,
       .when = When::Before,
       .idea = "Before training, remove the weights without which the gradient stays largest, so "
               "that what is left learns fast.",
       .formula = "S = -w (H g), g and H the gradient and the Hessian of the loss of logits / T; "
                  "the largest S are removed",
       .schedule =
           "one update before training, from balanced samples; then train with the mask fixed",
       .differs =
           "exactly S n weights go; the published code keeps the one on the threshold too, one "
           "more than asked. The weights that are trained are scored; there the linear layers are "
           "drawn anew for the score. Sums over whole filters, which it does not make, are of "
           "running statistics: under the batch's they are the filters' squared gradients",
       .use_when = "Pruning must happen once and before training, and second derivatives can be "
                   "afforded.",
       .not_when = "There are no labels, or a trained network is there.",
       .patterns = every_pattern()},
      {{&Grasp::samples, "samples-per-class", {1, 100'000}, "", "in each iteration"},
       {&Grasp::iterations, "scoring-iterations", {1, 1000}, "", "draws of samples, summed"},
       {&Grasp::temperature, "loss-temperature", {1e-6, 1e9}, "", "T, by which logits are divided"},
       {&Grasp::mode,
        "scoring-mode",
        {"auto", "train", "eval"},
        "batch norm while scoring: the batch's statistics (train), running ones (eval), or the "
        "batch's unless scores are summed over filters that it makes free of scale (auto)"},
       {&Grasp::precision,
        "scoring-precision",
        {"float64", "float32"},
        "of the gradients of gradients; float32 is ten times as fast and chooses a few other "
        "weights in a thousand"},
       allocation_option(&Grasp::allocation, weight_allocations())},
      [](const Grasp& o, const PruneSettings&) -> Timeline {
        return {{at(one_shot_schedule(),
                    mask_update({.score = grasp_score(score_options(o)),
                                 .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
