// SPDX-License-Identifier: Apache-2.0
/// PConv: patterns of 3x3 kernels, and connectivity.
///
/// Source: Ma et al., "PCONV: the missing but desirable sparsity in DNN weight pruning for
/// real-time execution on mobile devices", arXiv 1909.05073; Niu et al., "PatDNN", arXiv
/// 2001.00138. No code of the papers was found; the library, and how kernels are chosen, are of
/// the same group's MEST (patterns/kernel_pattern.h), as is their order: arrangements first, then
/// kernels of what these leave. The papers mine the library from trained weights; it is fixed here.
/// How often projections come and how rho grows is not given by the papers; ours.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Pconv {
  double rho = 1e-4;
  int64_t frequency = 100;
  double prune_at = 0.5;
};

}  // namespace

Method pconv() {
  return make_method<Pconv>(
      {.name = "pconv",
       .title = "PConv: kernel patterns and connectivity",
       .paper = "Ma et al., arXiv 1909.05073; Niu et al., arXiv 2001.00138",
       .year = 2019,
       .when = When::During,
       .idea = "Let every 3x3 kernel keep four weights in one of eight arrangements around its "
               "centre, and every filter of a layer as many kernels as the others, so that a "
               "compiler can do the same few things all the time; draw the weights there while "
               "they train.",
       .formula = "loss + rho/2 ||W - Z + U||^2 + rho/2 ||W - Y + V||^2, Z = P(W + U) with the "
                  "arrangement of largest sum of squares for each kernel, Y = Q(W + V) with the "
                  "c - floor(c r) kernels of largest norm for each filter; U += W - Z, V += W - Y; "
                  "r = max(0, 1 - (1 - S) 9/4) where kernels are 3x3, else r = S",
       .schedule = "start from trained weights; projections at every `frequency`-th step until "
                   "`prune-at`, with rho ten times as strong from each third to the next; one "
                   "update there keeps arrangements, then the largest kernels of what they leave; "
                   "then fine-tuning",
       .differs = "the library is fixed and has the centre everywhere (published: the most "
                  "frequent of the trained weights'); patterns alone remove 5/9 of 3x3 layers, "
                  "whatever less is asked for; whole kernels of each filter are counted, rounded "
                  "in favour of keeping, so that the sparsity is met up to that; first layer and "
                  "linear layers lose connections as others do (`exclude`); 100 steps between "
                  "projections, and rho's growth by thirds, are ours",
       .use_when = "Most weights are of 3x3 kernels, and an engine runs a few arrangements of four "
                   "of them.",
       .not_when = "Less than 5/9 of the weights should go, or kernels are not 3x3.",
       .patterns = {"kernel-pattern"}},
      {{&Pconv::rho, "rho", {0, 1e6}, "", "strength of the pull in the first third"},
       {&Pconv::frequency, "frequency", {1, 1'000'000}, "steps", "between projections"},
       prune_at_option(&Pconv::prune_at)},
      [](const Pconv& o, const PruneSettings&) -> Timeline {
        const auto admm =
            pattern_admm({.rho = o.rho, .frequency = o.frequency, .until = o.prune_at});
        return {.events = {during(0.0, o.prune_at, admm), at(one_shot_schedule(o.prune_at), admm)},
                .refused = no_ablation("it draws weights to its choice before it prunes")};
      });
}

}  // namespace espalier::prune::method_list
