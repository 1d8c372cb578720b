// SPDX-License-Identifier: Apache-2.0
/// Label-free pruning: no label is looked at, neither to choose weights nor to train what is left.
///
/// Source: the survey, arXiv 2308.06767, names pruning without labels as a level of supervision; no
/// published algorithm is followed here. Its parts are published: what is left learns the dense
/// network's answers by distillation (Hinton, Vinyals, Dean, arXiv 1503.02531) with nothing but the
/// teacher; weights go by magnitude (arXiv 1506.02626), or where the answers change least, in the
/// second order by the true Fisher matrix (Martens, arXiv 1412.1193), of channels as Theis et al.,
/// arXiv 1801.05787, of whose gradients the network draws the labels.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/damage.h>
#include <espalier/prune/scores/fisher.h>

namespace espalier::prune::method_list {
namespace {

enum class Without : uint8_t { Magnitude, Fisher };
struct LabelFree {
  Without score = Without::Fisher;
  int64_t gradients = 256;
  int64_t batches = 10;
  double temperature = 4.0;
  int64_t rounds = 1;
  double until = 0.5;
  std::string allocation = "global";
};

std::unique_ptr<Score> score_of(const LabelFree& o, const PruneSettings& settings) {
  if (o.score == Without::Magnitude) return magnitude_score();
  if (settings.pattern == "channel" || settings.pattern == "filter") {
    return by_drawn_labels(fisher_score({.cost = FisherCost::None, .batches = o.batches}));
  }
  return damage_score({.diagonal = Diagonal::GaussNewton, .gradients = o.gradients});
}

}  // namespace

Method label_free() {
  return make_method<LabelFree>(
      {.name = "label-free",
       .title = "Label-free pruning",
       .paper = "Cheng, Zhang, Shi, arXiv 2308.06767, section 7 (a design of ours from its parts)",
       .year = 2023,
       .idea = "The dense network's own answers are all that is needed: remove what they hardly "
               "depend on, and let what is left learn them.",
       .formula = "s = |w|, or s = w^2 E g^2 / 2, g of a sample whose label is drawn from the "
                  "network's softmax: KL(dense || pruned) in the second order; of channels s = E "
                  "g^2 / 2 of their gates. Loss T^2 KL(softmax(dense / T) || softmax(pruned / T))",
       .schedule = "start from trained weights; `rounds` updates spread over the first part of "
                   "fine-tuning, all of which is by the dense network's answers. Labels count for "
                   "the reported accuracy alone",
       .differs = "no published algorithm is followed: the survey names the level of supervision. "
                  "It reports that pruning without labels usually loses accuracy; T = 4, one round "
                  "and the number of gradients are ours",
       .use_when = "Trained weights and images like those of their training, but no labels.",
       .not_when = "There are labels: the survey finds that pruning without them loses accuracy.",
       .patterns = every_pattern()},
      {{&LabelFree::score, "score", {"magnitude", "fisher"}, "by size, or by what answers change"},
       OptionEntry<LabelFree>(&LabelFree::gradients,
                              "gradients",
                              {1, 1'000'000},
                              "samples",
                              "of score fisher for weights and blocks of them")
           .needing("score", {"fisher"}),
       OptionEntry<LabelFree>(&LabelFree::batches,
                              "batches",
                              {1, 10'000},
                              "",
                              "of score fisher for channels and filters")
           .needing("score", {"fisher"}),
       {&LabelFree::temperature, "temperature", {0.01, 1000}, "", "T, of the answers"},
       rounds_option(&LabelFree::rounds),
       until_option(&LabelFree::until),
       allocation_option(&LabelFree::allocation, weight_allocations())},
      [](const LabelFree& o, const PruneSettings& settings) -> Timeline {
        return {{during(0.0, 1.0, learn_own_answers({.temperature = o.temperature, .weight = 1.0})),
                 at(iterative_schedule(o.rounds, o.until),
                    mask_update({.score = score_of(o, settings),
                                 .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
