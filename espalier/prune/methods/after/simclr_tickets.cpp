// SPDX-License-Identifier: Apache-2.0
/// SimCLR tickets: lottery tickets in networks that learnt without labels.
///
/// Source: Chen, Frankle, Chang, Liu, Zhang, Carbin, Wang, "The lottery tickets hypothesis for
/// supervised and self-supervised pre-training in computer vision models", arXiv 2012.06908, and
/// its published code; the task is SimCLR's, Chen, Kornblith, Norouzi, Hinton, arXiv 2002.05709.
/// The loss is the mean of -log p, as in SimCLR's paper; the published code takes -log of the mean
/// p, which weighs hard pairs less. The ticket is used by another run that fine-tunes it:
/// `--weights`, whose masks stay.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct SimclrTickets {
  int64_t rounds = 0;
  double fraction = 0.2;
  double rewind_to = 0.0;
  double temperature = 0.5;
  int64_t width = 128;
  std::string allocation = "global";
};

std::string not_the_classifier(nn::Module& model, const Site& site) {
  return site.name == classifier_weight(model) ? "its place is the projection's" : "";
}

}  // namespace

Method simclr_tickets() {
  return make_method<SimclrTickets>(
      {.name = "simclr-tickets",
       .title = "Lottery tickets of self-supervised pre-training",
       .paper = "Chen et al., arXiv 2012.06908; Chen et al., arXiv 2002.05709",
       .year = 2021,
       .idea = "A network that learnt from images alone holds a sparse one that serves many tasks: "
               "go on with its own task, prune by magnitude, and go back to the weights of the "
               "pre-training, not to random ones.",
       .formula = "s = |w|; n of the a weights still there go, n = ceil(fraction * a); the others "
                  "return to the pre-trained ones. Loss: mean over both views of -log(exp(z_i z_j "
                  "/ T) / sum over k != i of exp(z_i z_k / T)), z of length 1 from a head of two "
                  "layers",
       .schedule = "start from SimCLR's weights, or let the run up to `rewind-to` find them; then "
                   "rounds as of lottery tickets, at a low rate (published: 10 epochs at 1e-4), "
                   "one training more than there are rounds. No label is looked at; the classifier "
                   "stays dense and as it was, and the reported accuracy is its. Fine-tune the "
                   "ticket in a run of its own",
       .differs = "the loss is a mean of logarithms (published code: the logarithm of a mean); "
                  "exactly n weights go (published: all up to the one at place n); the published "
                  "code leaves the first convolution out: `exclude conv1`. Colours change in a "
                  "fixed order, and by hue in YIQ (published: any order, HSV); no blur",
       .use_when = "Labels come later or differ by task: one ticket shall serve all.",
       .not_when = "There is one task with labels: lottery tickets of its own loss are nearer.",
       .patterns = {"unstructured"}},
      {training_rounds_option(&SimclrTickets::rounds),
       fraction_option(&SimclrTickets::fraction),
       {&SimclrTickets::rewind_to,
        "rewind-to",
        {0, 1},
        "fraction of training",
        "the pre-training's part; every round starts at its end"},
       {&SimclrTickets::temperature, "temperature", {0.01, 1000}, "", "T, of the loss"},
       {&SimclrTickets::width, "projection", {1, 4096}, "numbers", "that the head gives"},
       allocation_option(&SimclrTickets::allocation, weight_allocations())},
      [](const SimclrTickets& o, const PruneSettings&) -> Timeline {
        std::vector<Event> events =
            learn_two_views(0.0, 1.0, {.temperature = o.temperature, .width = o.width});
        events.push_back(at(rounds_schedule(o.rounds, o.fraction),
                            mask_update({.score = magnitude_score(),
                                         .allocation = make_allocation(o.allocation),
                                         .sites = {.refusal = not_the_classifier}})));
        return {.events = std::move(events),
                .recovery = std::make_shared<Recovery>(
                    RecoveryOptions{.weights = RoundWeights::Rewound, .from = o.rewind_to})};
      });
}

}  // namespace espalier::prune::method_list
