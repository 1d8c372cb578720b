// SPDX-License-Identifier: Apache-2.0
/// Magnitude pruning, one-shot or iterative.
///
/// Source: Han, Pool, Tran, Dally, "Learning both weights and connections", arXiv 1506.02626. The
/// paper's smaller dropout for retraining is the user's: no network of the zoo drops out by
/// default.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Magnitude {
  int64_t rounds = 1;
  double until = 1.0;
  std::string allocation = "global";
  double quality = 1.0;
};

}  // namespace

Method magnitude() {
  return make_method<Magnitude>(
      {.name = "magnitude",
       .title = "Magnitude pruning",
       .paper = "Han, Pool, Tran, Dally, arXiv 1506.02626",
       .year = 2015,
       .idea = "In a trained network the smallest weights matter least: remove them and train on "
               "what is left.",
       .formula =
           "s = |w|; round r of R keeps the fraction (1 - S)^(r/R) with the highest scores among "
           "the weights still there; with allocation std those with |w| > quality * std(layer)",
       .schedule = "start from trained weights; one update before fine-tuning, or `rounds` updates "
                   "spread evenly over it",
       .differs = "thresholds are exact counts; the paper's, a hand-set multiple of each layer's "
                  "deviation, are `allocation std`",
       .use_when = "A trained network and some epochs of fine-tuning are at hand: the first thing "
                   "to try.",
       .not_when = "No training follows, or (all patterns but channel) only a dense engine will "
                   "run the network.",
       .patterns = every_pattern()},
      {rounds_option(&Magnitude::rounds),
       until_option(&Magnitude::until),
       allocation_option(&Magnitude::allocation,
                         {"global", "uniform", "uniform-dense-first", "er", "erk", "std"}),
       OptionEntry<Magnitude>(&Magnitude::quality,
                              "quality",
                              {0, 1000},
                              "deviations",
                              "of allocation std: what lies below goes")
           .needing("allocation", {"std"})},
      [](const Magnitude& o, const PruneSettings&) -> Timeline {
        const bool by_deviation = o.allocation == "std";
        return {{at(iterative_schedule(o.rounds, o.until),
                    mask_update({.score = by_deviation ? deviation_score() : magnitude_score(),
                                 .allocation = by_deviation ? threshold_allocation(o.quality)
                                                            : make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
