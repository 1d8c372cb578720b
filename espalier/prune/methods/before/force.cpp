// SPDX-License-Identifier: Apache-2.0
/// FORCE and iterative SNIP: connection sensitivity in rounds.
///
/// Source: de Jorge, Sanyal, Behl, Torr, Rogez, Dokania, "Progressive skeletonization: trimming
/// more fat from a network at initialization", arXiv 2006.09081, and its published code. The score
/// is SNIP's; FORCE is the update that chooses among all weights in every round.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class Trimming : uint8_t { Force, IterativeSnip };
struct Force {
  Trimming variant = Trimming::Force;
  int64_t rounds = 10;
  Pace pace = Pace::Exponential;
  int64_t batches = 1;
  ScoringMode mode = ScoringMode::Eval;
  std::string allocation = "global";
};

}  // namespace

Method force() {
  return make_method<Force>(
      {.name = "force",
       .title = "FORCE and iterative SNIP: connection sensitivity in rounds",
       .paper = "de Jorge et al., arXiv 2006.09081",
       .year = 2021,
       .when = When::Before,
       .idea = "At high sparsity SNIP looks at a network that will not be trained. Prune a little "
               "at a time and score the pruned network; FORCE also lets a weight return which "
               "matters in what is left.",
       .formula = "round k of n keeps the fraction (1 - S)^(k/n) with the largest |w dL/d(m w)|, m "
                  "the mask of the round before, w the dense weights (FORCE: all compete) or m w "
                  "(iterative SNIP: what is gone stays gone)",
       .schedule = "`rounds` rounds before training, each on new batches; then train with the mask "
                   "fixed",
       .differs = "exactly S n weights go (published: ties at the threshold stay, numbers are "
                  "rounded down); batch norm scores by its running statistics, as in SNIP (the "
                  "published function leaves the network in training mode: `scoring-mode train`); "
                  "its third score, the squared gradient, is not here",
       .use_when = "Pruning comes before training and most weights go: it scores what is left, "
                   "round by round.",
       .not_when = "A moderate sparsity is asked for: one look of snip is enough.",
       .patterns = every_pattern()},
      {{&Force::variant,
        "variant",
        {"force", "iterative-snip"},
        "whether weights that are gone may return in a later round"},
       {&Force::rounds, "rounds", {1, 10'000}, "", "rounds of scoring and pruning; 1 is SNIP"},
       {&Force::pace, "rounds-pace", {"exponential", "linear"}, "(1 - S)^(k/n), or 1 - S k/n"},
       batches_option(&Force::batches),
       scoring_mode_option(&Force::mode),
       allocation_option(&Force::allocation, weight_allocations())},
      [](const Force& o, const PruneSettings&) -> Timeline {
        return {
            {at(iterative_schedule(o.rounds, 0.0, o.pace),
                mask_update({.score = snip_score(o.mode, o.batches),
                             .allocation = make_allocation(o.allocation),
                             .candidates = o.variant == Trimming::Force ? Candidates::All
                                                                        : Candidates::Living}))}};
      });
}

}  // namespace espalier::prune::method_list
