// SPDX-License-Identifier: Apache-2.0
/// PConv: patterns of 3x3 kernels, and connectivity.
///
/// Source: Ma et al., "PCONV: the missing but desirable sparsity in DNN weight pruning for
/// real-time execution on mobile devices", arXiv 1909.05073; Niu et al., "PatDNN", arXiv
/// 2001.00138. No code of the papers was found; the library, and how kernels are chosen, are of
/// the same group's MEST (patterns/kernel_pattern.h), as is their order: arrangements first, then
/// kernels of what these leave. The papers mine the library from trained weights; it is fixed here.
/// How often projections come and how rho grows between is not given by the papers; ours, as in the
/// method `admm`.
#include <espalier/prune/actions/kernel_patterns.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Pconv {
  int64_t rounds = 12;
  double strength = 1e-4;
  double final_strength = 1e-2;
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
                  "c - floor(c r) kernels of largest norm for each filter; after every outer "
                  "iteration U += W - Z, V += W - Y, and rho U and rho V stay when rho grows; "
                  "r = max(0, 1 - (1 - S) 9/4) where kernels are 3x3, else r = S",
       .schedule = "start from trained weights; `rounds` outer iterations until `prune-at`; one "
                   "update there keeps arrangements, then the largest kernels of what they leave; "
                   "then fine-tuning",
       .differs = "the library is fixed and has the centre everywhere (published: the most "
                  "frequent of the trained weights'); patterns alone remove 5/9 of 3x3 layers, "
                  "whatever less is asked for; whole kernels of each filter are counted, rounded "
                  "in favour of keeping, so that the sparsity is met up to that; first layer and "
                  "linear layers lose connections as others do (`exclude`); a target is met by "
                  "kernels alone, one of every filter of a layer at a time (ours); 12 outer "
                  "iterations, with a rho that grows by the same factor at each, are ours",
       .use_when = "Most weights are of 3x3 kernels, and an engine runs a few arrangements of four "
                   "of them.",
       .not_when = "Less than 5/9 of the weights should go, or kernels are not 3x3.",
       .patterns = {"kernel-pattern"}},
      {{&Pconv::rounds, "rounds", {1, 10'000}, "", "outer iterations"},
       {&Pconv::strength, "strength", {1e-12, 100}, "", "rho of the first iteration"},
       {&Pconv::final_strength, "final-strength", {1e-12, 100}, "", "rho of the last"},
       prune_at_option(&Pconv::prune_at)},
      [](const Pconv& o, const PruneSettings&) -> Timeline {
        const auto numbers = std::make_shared<KernelNumbers>();
        const auto action = prune::admm({.until = o.prune_at,
                                         .rounds = o.rounds,
                                         .strength = o.strength,
                                         .final_strength = o.final_strength},
                                        {arrangements(), connectivity(numbers)},
                                        keep_kernel_patterns(numbers));
        return {
            .events = {during(0.0, o.prune_at, action), at(one_shot_schedule(o.prune_at), action)},
            .refused = no_ablation("it draws weights to its choice before it prunes")};
      });
}

}  // namespace espalier::prune::method_list
