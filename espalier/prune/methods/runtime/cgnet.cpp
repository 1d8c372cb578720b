// SPDX-License-Identifier: Apache-2.0
/// Channel gating: a part of the input channels decides, for every output value, whether the other
/// channels are worth adding.
///
/// Source: Hua, Zhou, De Sa, Zhang, Suh, "Channel gating neural networks", arXiv 1805.12549. Gates
/// and their arithmetic are nn/gates/partial_sum.h. The paper's target threshold T is told by the
/// share S of values that normal partial sums would leave as they are, S = Phi(T): T = 1 is S =
/// 0.8413. The paper's setting for CIFAR-10 is T = 1; the default S = 0.9, which all methods share,
/// is T = 1.28. Thresholds never decay; the paper keeps decay off all vectors, which the option
/// `no-decay-1d` of training does.
#include <espalier/autograd/ops.h>
#include <espalier/prune/actions/gate.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class Start : uint8_t { Zero, Target };
struct Cgnet {
  int64_t parts = 4;
  double price = 1e-4;
  double slope = 2.0;
  Start start = Start::Zero;
  bool sparse_backprop = false;
};

Gates<nn::PartialSum> gates(const Cgnet& o) {
  const auto add = [o](const GatePlace& place) -> std::string {
    const nn::Conv2d::Options& conv = place.convolution.layer->options();
    if (conv.in_channels % o.parts != 0 || conv.out_channels % o.parts != 0) {
      const std::string sizes = cat(conv.in_channels, " and ", conv.out_channels);
      return cat("its ", sizes, " channels can't be cut into ", o.parts, " parts");
    }
    const auto gate = nn::add_partial_sum_gate(
        place.convolution, {.parts = o.parts, .slope = o.slope, .sparse_back = o.sparse_backprop});
    if (o.start == Start::Target) {
      gate->threshold.value.value().fill_(nn::normal_threshold(place.sparsity.value()));
    }
    return {};
  };
  const auto distance = [o](const RunningGate<nn::PartialSum>& gate) {
    const double target = nn::normal_threshold(gate.sparsity.value());
    return sum(pow(gate.decision->threshold.value + -target, 2.0)) * o.price;
  };
  const auto computed = [o](const GatePlace&, Sparsity sparsity) {
    const double always = 1.0 / static_cast<double>(o.parts);
    return always + (1.0 - always) * sparsity.density().value();
  };
  return {.grain = GateGrain::Positions,
          .add = add,
          .price = distance,
          .computed = computed,
          .no_target = o.price == 0.0 ? "thresholds without a price are drawn to nothing. Give "
                                        "`threshold-price`, or a sparsity"
                                      : ""};
}

}  // namespace

Method cgnet() {
  return make_method<Cgnet>(
      {.name = "cgnet",
       .title = "Channel gating",
       .paper = "Hua, Zhou, De Sa, Zhang, Suh, arXiv 1805.12549",
       .year = 2019,
       .when = When::Runtime,
       .how = How::Learning,
       .idea = "A part of the channels tells which values of the output will end up unimportant; "
               "there, skip the rest of the channels.",
       .formula = "Y_p = W_p * x_p over 1/parts of the inputs; d = 1 where norm(Y_p) >= Delta, its "
                  "gradient that of sigmoid(slope * (norm(Y_p) - Delta)); y = Y_p + d (W_r * x_r); "
                  "loss + threshold-price * sum (Delta - T)^2, P(normal < T) = S",
       .schedule = "from initial or trained weights; thresholds start at 0 or at T, and are drawn "
                   "to T all along. No weight is removed: S is the share of values without the "
                   "rest that T stands for, or what a target of MACs asks; the real share is "
                   "learnt",
       .use_when = "Inputs differ in the positions that matter, all weights may stay, and layers "
                   "are wide.",
       .not_when = "Layers are narrow: at a quarter of the width it was slower than dense "
                   "(methods.md).",
       .patterns = {"filter"}},
      {{&Cgnet::parts,
        "parts",
        {1, 1024},
        "",
        "the always computed path has 1/parts of the input channels"},
       {&Cgnet::price, "threshold-price", {0, 1e6}, "", "of (threshold - T)^2 in the loss"},
       {&Cgnet::slope, "slope", {1e-3, 1e3}, "", "of the sigmoid behind a decision's gradient"},
       {&Cgnet::start,
        "threshold-start",
        {"zero", "target"},
        "thresholds before training: 0, or T where training is too short to draw them there"},
       {&Cgnet::sparse_backprop, "sparse-backprop", "no gradient to gates where they are closed"}},
      [](const Cgnet& o, const PruneSettings&) -> Timeline {
        return {.events = {during(0.0, 1.0, gate(gates(o)))},
                .refused = no_ablation("it has no masks that one could change")};
      });
}

}  // namespace espalier::prune::method_list
