// SPDX-License-Identifier: Apache-2.0
/// AC/DC: alternating compressed and decompressed training.
///
/// Source: Peste, Iofinova, Vladu, Alistarh, arXiv 2106.12379. The end of the last dense phase is
/// the paper's dense model; batch norm's statistics go on through all phases.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct AcDc {
  double first_sparse = 0.05;
  double phase = 0.1;
  double last_sparse = 0.85;
  std::string allocation = "global";
};

}  // namespace

Method ac_dc() {
  return make_method<AcDc>(
      {.name = "ac-dc",
       .title = "AC/DC: alternating compressed and decompressed training",
       .paper = "Peste, Iofinova, Vladu, Alistarh, arXiv 2106.12379",
       .year = 2021,
       .when = When::During,
       .idea = "Train sparse and dense in turns: what was removed gets a chance to come back, and "
               "the weights that stay learn to do without it.",
       .formula =
           "a sparse phase keeps the fraction 1 - S with the largest |w| of all weights, and "
           "its mask is fixed; in a dense phase all train, what was gone from zero",
       .schedule = "dense at first, then sparse and dense phases in turns; the optimizer starts "
                   "afresh with each dense phase; a longer sparse phase ends the training",
       .differs = "exactly S n weights go (published: all up to the one at place S n)",
       .use_when = "A dense and a sparse network are wanted from one training.",
       .not_when = "Training must never hold dense weights, or is too short for phases of several "
                   "epochs.",
       .patterns = {"unstructured", "2:4"}},
      {{&AcDc::first_sparse,
        "first-sparse",
        {0, 1},
        "fraction of training",
        "the first sparse phase begins here"},
       {&AcDc::phase, "phase", {0.001, 1}, "fraction of training", "length of a phase"},
       {&AcDc::last_sparse,
        "last-sparse",
        {0, 1},
        "fraction of training",
        "the last sparse phase begins here; the dense one before may be longer than others"},
       allocation_option(&AcDc::allocation, weight_allocations())},
      [](const AcDc& o, const PruneSettings&) -> Timeline {
        const PhaseOptions phases{
            .begin = o.first_sparse, .length = o.phase, .last = o.last_sparse};
        return {{at(phases_schedule(Phase::Sparse, phases),
                    mask_update({.score = magnitude_score(),
                                 .allocation = make_allocation(o.allocation),
                                 .candidates = Candidates::All})),
                 at(phases_schedule(Phase::Dense, phases), release_masks(StateOfLiving::Afresh))}};
      });
}

}  // namespace espalier::prune::method_list
