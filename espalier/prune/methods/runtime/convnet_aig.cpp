// SPDX-License-Identifier: Apache-2.0
/// ConvNet-AIG: every image runs the residual blocks that its gates draw, each gate as often as all
/// others.
///
/// Source: Veit, Belongie, "Convolutional networks with adaptive inference graphs", arXiv
/// 1711.11503, and its code (andreasveit/convnet-aig), from which the sizes of heads and their
/// initial values are. Heads are nn/gates/gumbel_head.h. The published code draws at test time,
/// too; here decisions in evaluation are the likelier ones, so that an image always gets the same.
#include <espalier/prune/actions/gate.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/penalties/opening_rate.h>

namespace espalier::prune::method_list {
namespace {

struct ConvNetAig {
  double weight = 2.0;
  int64_t hidden = 16;
  double open_bias = 2.0;
};

Gates<nn::GumbelHead> gumbel_gates(const ConvNetAig& o) {
  const auto add = [o](const GatePlace& place) -> std::string {
    const auto head = std::make_shared<nn::GumbelHead>(nn::GumbelHead::Options{
        .inputs = place.block.inputs, .hidden = o.hidden, .open_bias = o.open_bias});
    head->reset_parameters(
        [&](std::string_view member) { return place.rng(cat("convnet-aig ", member)); });
    head->noise = place.rng("convnet-aig draws");
    nn::add_block_gate(place.block, head);
    return {};
  };
  const auto rates = [o](const std::vector<RunningGate<nn::GumbelHead>>& gates,
                         const nn::TrainState&) -> Variable {
    if (o.weight == 0.0) return {};
    const double target = 1.0 - gates.front().sparsity.value();
    return opening_rate_loss(side_by_side(gates, &nn::Decided::open), target) * o.weight;
  };
  return {
      .grain = GateGrain::Blocks,
      .add = add,
      .penalty = rates,
      .computed = [](const GatePlace&, Sparsity sparsity) { return sparsity.density().value(); },
      .no_target = o.weight == 0.0 ? "rates without a weight are drawn to nothing. Give "
                                     "`rate-weight`, or a sparsity"
                                   : ""};
}

}  // namespace

Method convnet_aig() {
  return make_method<ConvNetAig>(
      {.name = "convnet-aig",
       .title = "ConvNet-AIG: adaptive inference graphs",
       .paper = "Veit, Belongie, arXiv 1711.11503",
       .year = 2018,
       .when = When::Runtime,
       .how = How::Learning,
       .idea = "Which layers an image needs depends on what it shows: a small network in front of "
               "every residual block says so, and learns it by drawing.",
       .formula = "(a, b) = W relu(norm(V mean(x))) + c; p = sigmoid(b - a + log u - log(1 - u)), "
                  "u uniform; g = 1 where p >= 1/2, with the gradient of p; y = shortcut(x) + g "
                  "F(x); loss + rate-weight * mean over gates of (mean over images of g - t)^2, t "
                  "= 1-S; in evaluation u = 1/2",
       .schedule = "from initial or trained weights; gates draw and learn all along. The first "
                   "block has no gate. No weight is removed: 1-S is the share of images for which "
                   "every gate should be open, or follows from a target of MACs; the real share is "
                   "learnt",
       .differs = "evaluation draws nothing: the likelier decision is taken (the published code "
                  "draws there, too, so that its accuracy is a matter of chance); the first block "
                  "is never skipped (published: as others); the layer in front of the norm has no "
                  "bias, which the norm would take away",
       .use_when = "A deep residual network, images one at a time, and every block should be "
                   "skipped as often.",
       .not_when = "Images come in large batches, or the network has few blocks: skipping whole "
                   "blocks is coarse.",
       .patterns = {"filter"}},
      {{&ConvNetAig::weight, "rate-weight", {0, 1e6}, "", "of the distance from the target rate"},
       {&ConvNetAig::hidden, "hidden", {1, 4096}, "", "numbers between the layers of a head"},
       {&ConvNetAig::open_bias,
        "open-bias",
        {-100, 100},
        "",
        "c of open before training, of closed it is 0.1: at 2 a gate opens 0.87 of the time"}},
      [](const ConvNetAig& o, const PruneSettings&) -> Timeline {
        return {.events = {during(0.0, 1.0, gate(gumbel_gates(o)))},
                .refused = no_ablation("it has no masks that one could change")};
      });
}

}  // namespace espalier::prune::method_list
