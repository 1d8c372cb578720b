// SPDX-License-Identifier: Apache-2.0
/// FTWT: heads foretell which channels will fire for an image, and only these are computed.
///
/// Source: Elkerdawy, Elhoushi, Zhang, Ray, "Fire together wire together", arXiv 2110.08232, and
/// its code (selkerdawy/FTWT). Heads are nn/gates/firing_head.h, what they learn
/// penalties/firing.h. A head learns from its layer alone, and the layers not from the heads. The
/// published heads have an SGD of their own with a rate of 0.1, ten times the network's: here one
/// optimizer trains all, and their loss counts ten times. Their initial values are ours.
#include <espalier/prune/actions/gate.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/penalties/firing.h>

namespace espalier::prune::method_list {
namespace {

struct Ftwt {
  double mass = 0.0;
  Boundary boundary = Boundary::Kept;
  double weight = 10.0;
  double learn_until = 0.5;
};

using FiringGates = std::vector<RunningGate<nn::FiringHead>>;

Variable head_losses(const Ftwt& o, double share, const FiringGates& gates) {
  Variable total;
  for (const auto& [head, decided, sparsity] : gates) {
    const Tensor& seen = decided.seen.value();
    const Tensor right =
        o.mass > 0.0 ? fired_channels(seen, o.mass, o.boundary) : most_fired(seen, share);
    const Variable loss = bce_with_logits(decided.price, Variable(right)) *
                          static_cast<double>(right.size(1));  // summed over channels
    total = total.defined() ? total + loss : loss;
  }
  return total * (o.weight / static_cast<double>(gates.size()));
}

Gates<nn::FiringHead> firing_gates(const Ftwt& o) {
  const auto add = [](const GatePlace& place) -> std::string {
    const nn::Conv2d::Options& conv = place.convolution.layer->options();
    const auto head = std::make_shared<nn::FiringHead>(
        nn::FiringHead::Options{.inputs = conv.in_channels, .units = conv.out_channels});
    head->reset_parameters(
        [&](std::string_view member) { return place.rng(cat("ftwt ", member)); });
    nn::add_channel_gate(place.convolution, head);
    return {};
  };
  const auto learn = [o](const FiringGates& gates, const nn::TrainState& now) -> Variable {
    if (o.learn_until <= 0.0 || done(now, o.learn_until) == 1.0) return {};
    return head_losses(o, 1.0 - gates.front().sparsity.value(), gates);
  };
  return {
      .grain = GateGrain::Channels,
      .add = add,
      .penalty = learn,
      .computed = [](const GatePlace&, Sparsity sparsity) { return sparsity.density().value(); },
      .no_target = o.mass > 0.0 ? "`mass` says which channels fire, however many. Leave it out, "
                                  "so that S does"
                                : ""};
}

}  // namespace

Method ftwt() {
  return make_method<Ftwt>(
      {.name = "ftwt",
       .title = "FTWT: fire together wire together",
       .paper = "Elkerdawy, Elhoushi, Zhang, Ray, arXiv 2110.08232",
       .year = 2022,
       .when = When::Runtime,
       .how = How::Learning,
       .idea = "Which channels fire can be foretold from a layer's input: teach small heads with "
               "what fired, and compute only what will.",
       .formula = "z = W softmax(mean(x)) + b; y = norm(conv(x)) where sigmoid(z) > 1/2, else 0; "
                  "loss + head-weight / L * sum over L layers and channels of the mean binary "
                  "cross-entropy of z and what fired: a = max over space of max(norm(conv(x)), 0), "
                  "the strongest channels of an image down to the share r of sum a",
       .schedule =
           "from trained weights; heads learn until `learn-until`, then they stand still "
           "and the network adapts to them. No weight is removed: r is such that the share "
           "1-S of a layer's channels fires in a batch, or the same for all with `mass`, "
           "where S counts for nothing; S may follow from a target of MACs; the real share is "
           "learnt",
       .differs = "r follows S batch by batch (published: a constant, or from the activations "
                  "before training; `mass` gives the constant); the channel with which the mass is "
                  "reached counts as fired, as in the paper (the code drops it, `boundary "
                  "dropped`); one optimizer trains network and heads; masks stand behind the batch "
                  "norm of every convolution but the first (published for ResNets: behind the "
                  "block's addition)",
       .use_when = "A trained network, images one at a time, and gates that should learn fast and "
                   "apart from it.",
       .not_when = "Accuracy is all: gates here do not know the loss; fbs lets it train them.",
       .patterns = {"filter"}},
      {{&Ftwt::mass,
        "mass",
        {0, 1},
        "of a sample's activations",
        "r, what the fired channels hold; 0: as S asks"},
       OptionEntry<Ftwt>(&Ftwt::boundary,
                         "boundary",
                         {"kept", "dropped"},
                         "the channel with which the mass is reached")
           .needing_other_than("mass", {"0"}),
       {&Ftwt::weight, "head-weight", {0, 1e6}, "", "of the heads' loss"},
       {&Ftwt::learn_until,
        "learn-until",
        {0, 1},
        "fraction of training",
        "heads learn until here"}},
      [](const Ftwt& o, const PruneSettings&) -> Timeline {
        return {.events = {during(0.0, 1.0, gate(firing_gates(o)))},
                .refused = no_ablation("it has no masks that one could change")};
      });
}

}  // namespace espalier::prune::method_list
