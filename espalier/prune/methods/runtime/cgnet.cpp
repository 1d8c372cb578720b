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
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/prune/methods/runtime/gated.h>

namespace espalier::prune::method_list {
namespace {

constexpr const char* kName = "cgnet";
/// T stays within +- this: beyond, a thousand values in a layer have no exception.
constexpr double kMostTarget = 4.0;

/// The T with P(normal variable < T) = share.
double target_threshold(double share) {
  double low = -kMostTarget;
  double high = kMostTarget;
  for (int halving = 0; halving < 60; ++halving) {
    const double middle = 0.5 * (low + high);
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < share ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

enum class Start : uint8_t { Zero, Target };
struct Cgnet {
  int64_t parts = 4;
  double price = 1e-4;
  double slope = 2.0;
  Start start = Start::Zero;
  bool sparse_backprop = false;
};

class CgnetGates : public Action {
 public:
  explicit CgnetGates(const Cgnet& options) : options_(options) {}

  ActionFacts facts() const override { return {.needs_data = true}; }

  std::vector<std::string> attach(const Subject& subject) override {
    const double target = target_threshold(subject.settings.final().value());
    const int64_t parts = options_.parts;
    const auto add = [&](const nn::GateSite& site, int64_t) -> std::string {
      const nn::Conv2d::Options& conv = site.layer->options();
      if (conv.in_channels % parts != 0 || conv.out_channels % parts != 0) {
        return cat("its ",
                   conv.in_channels,
                   " and ",
                   conv.out_channels,
                   " channels can't be cut into ",
                   parts,
                   " parts");
      }
      const auto gate = nn::add_partial_sum_gate(
          site, {.parts = parts, .slope = options_.slope, .sparse_back = options_.sparse_backprop});
      if (options_.start == Start::Target) {
        gate->threshold.value.value().fill_(target);
      }
      return {};
    };
    return add_gates(kName, "positions", subject, add);
  }

  void enter(const Subject&, nn::TrainState& state) override {
    gates_of<nn::PartialSum>(kName, state.model);
  }

  Variable penalty(const Subject& subject, nn::TrainState& state) override {
    const double target = target_threshold(subject.settings.final().value());
    Variable total;
    for (const nn::PartialSum* gate : gates_of<nn::PartialSum>(kName, state.model)) {
      const Variable one = sum(pow(gate->threshold.value + -target, 2.0)) * options_.price;
      total = total.defined() ? total + one : one;
    }
    return total;
  }

 private:
  Cgnet options_;
};

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
                   "rest that T stands for, the real share is learnt",
       .patterns = {"filter"}},
      {{&Cgnet::parts,
        "parts",
        {1, 1024},
        "",
        "the always computed path has 1/parts of the input channels"},
       {&Cgnet::price,
        "threshold-price",
        {0, 1e6},
        "",
        "weight of the squared distance of thresholds from T in the loss"},
       {&Cgnet::slope, "slope", {1e-3, 1e3}, "", "of the sigmoid behind a decision's gradient"},
       {&Cgnet::start,
        "threshold-start",
        {"zero", "target"},
        "thresholds before training: 0, or T where training is too short to draw them there"},
       {&Cgnet::sparse_backprop, "sparse-backprop", "no gradient to gates where they are closed"}},
      [](const Cgnet& o, const PruneSettings&) -> Timeline {
        return {.events = {during(0.0, 1.0, std::make_shared<CgnetGates>(o))},
                .refused = no_ablation("it has no masks that one could change")};
      });
}

}  // namespace espalier::prune::method_list
