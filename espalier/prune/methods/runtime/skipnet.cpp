// SPDX-License-Identifier: Apache-2.0
/// SkipNet: every image runs the residual blocks that it needs.
///
/// Source: Wang, Yu, Dou, Darrell, Gonzalez, "SkipNet: learning dynamic routing in convolutional
/// networks", arXiv 1711.09485. A gate reads its block's input, so in evaluation a closed branch is
/// not run (nn/gates/block_gate.h). With rewards the decisions of a step are drawn, each is paid by
/// what follows from it, and the cross-entropy trains the blocks alone, as in the published code;
/// rewards are those of single images, summed. The published code stops when its iterations are
/// over; here no price is paid for more than the share S.
#include <espalier/autograd/ops.h>
#include <espalier/prune/actions/gate.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/penalties/reinforce.h>

namespace espalier::prune::method_list {
namespace {

struct SkipNet {
  double alpha = 0.1;
  double open_bias = 0.5;
  double rewards_from = 1.0;
  double reward_weight = 0.01;
};

using Running = std::vector<RunningGate<nn::Head>>;

Variable penalty(const SkipNet& o, double share, const Running& gates, const nn::TrainState& now) {
  const Variable open = side_by_side(gates, &nn::Decided::open);
  const bool pays = mean(open.detach()).item() > 1.0 - share;
  const double each = pays ? o.alpha / static_cast<double>(gates.size()) : 0.0;
  if (!gates.front().decision->draws) {
    return pays ? sum(open) * (each / static_cast<double>(open.size(0))) : Variable();
  }
  const Variable loss = cross_entropy(now.logits.detach(), now.labels, 0.0, Reduction::None);
  const Variable skipped = (1.0 - open.detach()) * each;
  const Tensor returns = returns_of(skipped.value(), (-loss).value());
  return reinforce_loss(side_by_side(gates, &nn::Decided::price), open.value(), returns) *
         o.reward_weight;
}

Gates<nn::Head> gates(const SkipNet& o) {
  const auto add = [o](const GatePlace& place) -> std::string {
    const auto head = std::make_shared<nn::Head>(
        nn::Head::Options{.inputs = place.block.inputs, .open_bias = o.open_bias});
    head->reset_parameters([&](std::string_view) { return place.rng("skipnet heads"); });
    head->noise = place.rng("skipnet draws");
    nn::add_block_gate(place.block, head);
    return {};
  };
  const auto draw = [o](nn::Head& head, const nn::TrainState& now, Sparsity) {
    head.draws = o.rewards_from < 1.0 && done(now, o.rewards_from) == 1.0;
  };
  const auto pay = [o](const Running& gates, const nn::TrainState& now) {
    return penalty(o, gates.front().sparsity.value(), gates, now);
  };
  return {
      .grain = GateGrain::Blocks,
      .add = add,
      .set = draw,
      .penalty = pay,
      .computed = [](const GatePlace&, Sparsity sparsity) { return sparsity.density().value(); },
      .no_target = o.alpha == 0.0 ? "skipping without a reward has no aim. Give `skip-reward`, "
                                    "or a sparsity"
                                  : ""};
}

}  // namespace

Method skipnet() {
  return make_method<SkipNet>(
      {.name = "skipnet",
       .title = "SkipNet",
       .paper = "Wang, Yu, Dou, Darrell, Gonzalez, arXiv 1711.09485",
       .year = 2018,
       .when = When::Runtime,
       .how = How::Learning,
       .idea = "Easy images need fewer layers: a small gate in front of every residual block says "
               "from the block's input whether this image runs it.",
       .formula = "p = sigmoid(W mean(x) + b); g = 1 where p >= 1/2, with the gradient of p; y = "
                  "shortcut(x) + g F(x); loss + alpha / N * sum of g over N gates, mean over "
                  "images, while more than 1-S of them are open. With rewards: g drawn from p, "
                  "R_i = sum over j >= i of alpha / N (1 - g_j) - loss, p by REINFORCE",
       .schedule = "best from trained weights; gates learn all along, from `rewards-from` on by "
                   "rewards. The first block has no gate. No weight is removed: the price is for "
                   "the share S of gated blocks, on average over a batch, which may follow from a "
                   "target of MACs; the real share is learnt",
       .differs = "a gate is a linear layer of the means of the block's input (published: two "
                  "convolutions, or an LSTM that all gates share); supervised training pays the "
                  "price too (published: rewards alone do, which `rewards-from` 0.5 turns on); no "
                  "price is paid for more than S; a gate multiplies the branch, before the block's "
                  "last ReLU (published: it chooses between the block's output and its shortcut), "
                  "so it has no gradient where that ReLU is 0, and a projection keeps it",
       .use_when = "Inputs differ in difficulty, all weights may stay, and a residual network may "
                   "skip blocks.",
       .not_when = "There are no residual blocks, or all inputs may cost the same.",
       .patterns = {"filter"}},
      {{&SkipNet::alpha,
        "skip-reward",
        {0, 1e6},
        "",
        "alpha, for an image that skips all gated blocks"},
       {&SkipNet::open_bias,
        "open-bias",
        {-100, 100},
        "",
        "b of gates before training; above 0 all blocks are open then"},
       {&SkipNet::rewards_from,
        "rewards-from",
        {0, 1},
        "fraction of training",
        "from here on gates draw what they open and learn by rewards; 1: never"},
       OptionEntry<SkipNet>(&SkipNet::reward_weight,
                            "reward-weight",
                            {0, 1e6},
                            "",
                            "of the rewards' gradient beside the loss's")
           .needing_other_than("rewards-from", {"1"})},
      [](const SkipNet& o, const PruneSettings&) -> Timeline {
        return {.events = {during(0.0, 1.0, gate(gates(o)))},
                .refused = no_ablation("it has no masks that one could change")};
      });
}

}  // namespace espalier::prune::method_list
