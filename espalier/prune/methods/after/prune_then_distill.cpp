// SPDX-License-Identifier: Apache-2.0
/// Prune, then distill: a sparse network teaches a small dense one.
///
/// Source: Park, No, "Prune your model before distill it", arXiv 2109.14960; the loss is that of
/// Hinton, Vinyals, Dean, arXiv 1503.02531. One training holds both networks, as no training here
/// changes shapes: up to `teacher-until` the network is the teacher, pruned by weights; from there
/// on it is the student, whose masks take whole channels, so that `espalier shrink` cuts it to the
/// dense small network that it is. The teacher stays beside it as a copy.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/budgets/budget.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct PruneThenDistill {
  int64_t rounds = 1;
  double teacher_until = 0.5;
  double temperature = 4.0;
  double share = 0.9;
  std::string allocation = "global";
};

}  // namespace

Method prune_then_distill() {
  return make_method<PruneThenDistill>(
      {.name = "prune-then-distill",
       .title = "Prune, then distill",
       .paper = "Park, No, arXiv 2109.14960",
       .year = 2022,
       .how = How::Fusion,
       .idea = "A pruned network is smoother, and so a better teacher: prune it by weights, give a "
               "dense student as many channels as the teacher has density left in each layer, and "
               "let the student learn the teacher's answers.",
       .formula = "teacher: the fraction S with the smallest |w| goes; student: round(width * kept "
                  "share) channels of a layer, new weights; loss (1-a) CE + a T^2 KL(softmax(t / "
                  "T) || softmax(s / T))",
       .schedule = "start from trained weights, the teacher's; `rounds` updates spread over the "
                   "part up to `teacher-until`, in which the teacher is fine-tuned; then the "
                   "student is trained from new weights; shrink",
       .differs = "the teacher is fine-tuned on the way (published: pruned with learning-rate "
                  "rewinding, whole trainings); one learning-rate schedule spans teacher and "
                  "student, of which each gets half (not given by the paper; ours); S is the "
                  "teacher's: the student's channels follow from it, layer by layer; another "
                  "target is met by both, the student's channels being in proportion to what the "
                  "teacher keeps of each layer (not given by the paper; ours). Without a "
                  "pruned teacher (S = 0) it is plain distillation, the control",
       .use_when =
           "A small dense network shall be trained anew, and a trained larger one is there.",
       .not_when = "The trained weights shall stay: the student starts from new ones.",
       .patterns = {"channel"}},
      {rounds_option(&PruneThenDistill::rounds),
       {&PruneThenDistill::teacher_until,
        "teacher-until",
        {0, 1},
        "fraction of training",
        "the teacher's part; the student's follows"},
       {&PruneThenDistill::temperature, "temperature", {0.01, 1000}, "", "T, of the answers"},
       {&PruneThenDistill::share, "teacher-share", {0, 1}, "", "a, the teacher's part of the loss"},
       allocation_option(&PruneThenDistill::allocation, weight_allocations())},
      [](const PruneThenDistill& o, const PruneSettings& settings) -> Timeline {
        const bool to_budget =
            !settings.target.empty() && parse_target(settings.target).kind != BudgetKind::Sparsity;
        const auto student = mask_update(
            {.score = kept_share_score(),
             .allocation = summed_allocation(to_budget ? Ratios::Scaled : Ratios::Fixed),
             .min_per_layer = 1});
        const auto teacher =
            mask_update({.score = magnitude_score(), .allocation = make_allocation(o.allocation)});
        return {
            .events = {at(iterative_schedule(o.rounds, o.teacher_until),
                          under_pattern("unstructured", teacher)),
                       during(o.teacher_until,
                              1.0,
                              learn_own_answers({.temperature = o.temperature, .weight = o.share})),
                       at(one_shot_schedule(o.teacher_until, Sparsity(0.0)),
                          under_pattern("unstructured", release_masks(StateOfLiving::Afresh))),
                       at(one_shot_schedule(o.teacher_until), student),
                       during(o.teacher_until, o.teacher_until, set_weights(draw_afresh))},
            .refused = {{Ablation::Reinit, "it draws all weights anew itself"}}};
      });
}

}  // namespace espalier::prune::method_list
