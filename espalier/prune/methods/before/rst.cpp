// SPDX-License-Identifier: Apache-2.0
/// Random sparse network transformation (RST), of the dual lottery ticket hypothesis.
///
/// Source: Bai, Wang, Tao, Li, Fu, "Dual lottery ticket hypothesis", arXiv 2203.04248, and its
/// published code. There the transformation comes before a training of its own, 90 000 steps of
/// which the strength grows for 50 000, by 1e-4 every five steps to 1; here it is the first part of
/// the training, so that comparisons are at equal cost, and the strength grows at every step over
/// the same share of it.
#include <cmath>

#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

constexpr double kGrowing = 50.0 / 90.0;  // share of a transformation

enum class Ramp : uint8_t { Linear, Square, Cube };
struct Rst {
  double prune_at = 0.5;
  int64_t cycles = 1;
  double strength = 1.0;
  Ramp ramp = Ramp::Linear;
  std::string allocation = "uniform";
};

}  // namespace

Method rst() {
  return make_method<Rst>(
      {.name = "rst",
       .title = "RST: random sparse network transformation",
       .paper = "Bai, Wang, Tao, Li, Fu, arXiv 2203.04248",
       .year = 2022,
       .when = When::Before,
       .how = How::Learning,
       .idea = "Any random sparse network can be made to train well: before the other weights go, "
               "a penalty on them that grows drives what they know into those that will stay.",
       .formula =
           "the random choice of what goes is made first; loss + lambda_t / 2 ||w_goes||^2, "
           "lambda_t from 0 to `strength` as x, x^2 or x^3 over 5/9 of the way, then constant",
       .schedule =
           "transformation until `prune-at`, in `cycles` that each remove the same share of "
           "what is there; then the others train with the mask fixed",
       .differs = "the transformation is part of the training and has its learning rate "
                  "(published: 90000 steps of their own at 1e-3), and lambda grows at every step "
                  "(published: by 1e-4 every five) for 5/9 of every cycle (published with five "
                  "cycles: half); all layers are pruned (published: the first and the last stay "
                  "dense, which is `exclude`); numbers are rounded to the nearest (published: up)",
       .use_when = "Masks must be random or given beforehand, and training is long enough for "
                   "two phases.",
       .not_when = "Training itself must be cheap: the first phase is dense.",
       .patterns = every_pattern()},
      {{&Rst::prune_at,
        "prune-at",
        {0, 1},
        "fraction of training",
        "end of the transformation; what follows is training with the mask"},
       {&Rst::cycles, "cycles", {1, 1000}, "", "transformations, one after another (RST-Iter)"},
       {&Rst::strength, "strength", {0, 1e9}, "", "lambda at the end"},
       {&Rst::ramp, "ramp", {"linear", "square", "cube"}, "how lambda grows: as x, x^2 or x^3"},
       allocation_option(&Rst::allocation, weight_allocations())},
      [](const Rst& o, const PruneSettings& settings) -> Timeline {
        const auto update =
            mask_update({.score = random_score(), .allocation = make_allocation(o.allocation)});
        const double length = o.prune_at / static_cast<double>(o.cycles);
        Timeline timeline{
            .refused = {{Ablation::Reinit, "what goes leaves its part in the weights that stay"}}};
        for (int64_t c = 0; c < o.cycles; ++c) {
          const double from = length * static_cast<double>(c);
          const double until = c + 1 == o.cycles ? o.prune_at : from + length;
          const double share = static_cast<double>(c + 1) / static_cast<double>(o.cycles);
          // Not 1 - d^1, which may differ in its last bit.
          const Sparsity sparsity =
              c + 1 == o.cycles
                  ? settings.final()
                  : Sparsity(1.0 - std::pow(settings.final().density().value(), share));
          timeline.events.push_back(during(from,
                                           until,
                                           grow_decay({.from = from,
                                                       .until = from + kGrowing * (until - from),
                                                       .strength = o.strength,
                                                       .power = 1.0 + static_cast<double>(o.ramp)},
                                                      update,
                                                      sparsity,
                                                      c)));
          timeline.events.push_back(at(one_shot_schedule(until, sparsity), update));
        }
        return timeline;
      });
}

}  // namespace espalier::prune::method_list
