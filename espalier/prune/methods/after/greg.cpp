// SPDX-License-Identifier: Apache-2.0
/// GReg: L2 regularization that grows until it has made what goes zero.
///
/// Source: Wang, Qin, Zhang, Fu, "Neural pruning via growing regularization", arXiv 2012.09243, and
/// its published code. There the strength grows by 1e-4 every ten steps (of GReg-2's first part by
/// 1e-5) and stays for 10 000 at the end, whatever the length of training is; here these lengths
/// are shares of the time until `prune-at`, because schedules are functions of the length of
/// training.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

// Thousands of published steps: to 1 by 1e-4 every ten, to 1e-2 by 1e-5 every ten, and at the end.
constexpr double kGrowingPart = 100.0;
constexpr double kPickingPart = 10.0;
constexpr double kSettlingPart = 10.0;

enum class GRegVariant : uint8_t { One, Two };
struct GReg {
  GRegVariant variant = GRegVariant::One;
  double strength = 1.0;
  double picking = 1e-2;
  double kept = 1e-4;
  double prune_at = 0.5;
  std::string allocation = "uniform";
};

}  // namespace

Method greg() {
  return make_method<GReg>(
      {.name = "greg",
       .title = "GReg: growing regularization",
       .paper = "Wang, Qin, Zhang, Fu, arXiv 2012.09243",
       .year = 2021,
       .how = How::Learning,
       .idea =
           "Do not cut what is still large: let an L2 penalty on it grow slowly, so that the "
           "network gives it up by itself (GReg-1). The same small penalty on all tells weights "
           "apart by the curvature of the loss, and then by size (GReg-2).",
       .formula = "lambda_t w is added to the gradient of the filters (or weights) that will go, "
                  "lambda_t from 0 to `strength`; those with the smallest sum of |w| go. GReg-2: "
                  "first on all, from 0 to `picking-strength`; then the choice; from then on "
                  "-`kept-strength` w is added to the gradient of the others",
       .schedule = "start from trained weights; 10 parts of growth to one of a constant penalty "
                   "until `prune-at` (GReg-2: one part for all before them), one update there, "
                   "then fine-tuning; then shrink",
       .differs = "the penalty grows at every step, over a share of training (published: every ten "
                  "steps by a fixed amount, and no longer when what goes is a thousand times "
                  "smaller); numbers are rounded to the nearest (published: up); the training has "
                  "one learning-rate schedule (published: 1e-3 while the penalty grows); channels "
                  "of residual sums stay, as published, and layers lose the same "
                  "share (published: shares by hand, which is `layer-sparsity`)",
       .use_when =
           "A trained network may train on long enough to give up its filters little by little.",
       .not_when = "Fine-tuning is short: a penalty that has not grown leaves much to cut.",
       .patterns = {"channel", "filter", "unstructured"}},
      {{&GReg::variant, "variant", {"1", "2"}, "choose first, or after a penalty on all"},
       {&GReg::strength, "strength", {0, 1e6}, "", "lambda at the end"},
       OptionEntry<GReg>(&GReg::picking,
                         "picking-strength",
                         {0, 1e6},
                         "",
                         "lambda on all when the choice is made")
           .needing("variant", {"2"}),
       OptionEntry<GReg>(&GReg::kept,
                         "kept-strength",
                         {0, 1},
                         "",
                         "by which what stays grows, against the weight decay")
           .needing("variant", {"2"}),
       prune_at_option(&GReg::prune_at),
       allocation_option(&GReg::allocation, weight_allocations())},
      [](const GReg& o, const PruneSettings& settings) -> Timeline {
        const auto update_by = [&](std::shared_ptr<Score> score) {
          return mask_update({.score = std::move(score),
                              .allocation = make_allocation(o.allocation),
                              .sites = {.single_producer_only = true},
                              .min_per_layer = 1});
        };
        const std::shared_ptr<Action> by_size = update_by(magnitude_score());
        const auto chosen = std::make_shared<MasksByName>();
        const bool two = o.variant == GRegVariant::Two;
        const double before = two ? kPickingPart : 0.0;
        const double part = o.prune_at / (before + kGrowingPart + kSettlingPart);
        Timeline timeline{
            .refused = no_ablation("what goes is chosen, and penalized, long before it goes")};
        if (two) {
          timeline.events.push_back(during(
              0.0,
              before * part,
              grow_decay({.until = before * part, .strength = o.picking, .decayed = Decayed::All},
                         by_size,
                         settings.final())));
        }
        timeline.events.push_back(during(before * part,
                                         o.prune_at,
                                         grow_decay({.from = before * part,
                                                     .until = (before + kGrowingPart) * part,
                                                     .strength = o.strength,
                                                     .first = two ? o.picking : 0.0,
                                                     .others = two ? -o.kept : 0.0,
                                                     .decayed = Decayed::Units,
                                                     .chosen = chosen},
                                                    by_size,
                                                    settings.final())));
        timeline.events.push_back(
            at(one_shot_schedule(o.prune_at), update_by(settled_score(chosen))));
        return timeline;
      });
}

}  // namespace espalier::prune::method_list
