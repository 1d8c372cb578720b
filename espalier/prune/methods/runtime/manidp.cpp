// SPDX-License-Identifier: Apache-2.0
/// ManiDP: every image computes the channels that matter for it, easy images fewer, and images that
/// are alike the same.
///
/// Source: Tang, Wang, Xu, Deng, Xu, Tao, Xu, "Manifold regularized dynamic network pruning", arXiv
/// 2103.05861, and its code (yehuitang/Pruning). Gates are nn/gates/threshold_head.h; prices are
/// penalties/manifold.h. Of a gate's initial values b = 1 is published; W is small (ours), so that
/// a trained network begins as it was. Prices are those of the published command for ResNet-56.
#include <algorithm>
#include <cmath>
#include <numbers>

#include <espalier/prune/actions/gate.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/penalties/manifold.h>

namespace espalier::prune::method_list {
namespace {

struct ManiDp {
  double lasso = 5e-3;
  double similarity = 1.0;
  double limit = 0.5;
  int64_t squeeze = 4;
};

using ThresholdGates = std::vector<RunningGate<nn::ThresholdHead>>;

Variable manifold_prices(const ManiDp& o, const ThresholdGates& gates, const nn::TrainState& now) {
  const std::vector<double> losses =
      cross_entropy(now.logits.detach(), now.labels, 0.0, Reduction::None)
          .value()
          .to_vector<double>();
  const auto samples = static_cast<int64_t>(losses.size());
  const double each = 1.0 / static_cast<double>(samples);
  double loss = 0.0;
  for (const double one : losses) loss += one * each;
  const std::vector<double> ease =
      ease_of_samples(losses, o.limit * gates.front().decision->last_loss());
  const Tensor weights = Tensor::from<double>({samples, 1}, ease).to(now.logits.dtype());
  Variable total;
  for (const auto& [head, decided, sparsity] : gates) {
    head->add_loss(loss, samples);
    const Variable pi = to_layout(decided.price, Layout::Nchw);
    const Variable lasso = sum(mean(pi, {1}, true) * Variable(weights)) * (o.lasso * each);
    const Variable alike = similarity_loss(decided.seen, pi) * o.similarity;
    total = total.defined() ? total + lasso + alike : lasso + alike;
  }
  return total;
}

Gates<nn::ThresholdHead> threshold_gates(const ManiDp& o, const PruneSettings& settings) {
  const auto add = [o](const GatePlace& place) -> std::string {
    const nn::Conv2d::Options& conv = place.convolution.layer->options();
    const auto head = std::make_shared<nn::ThresholdHead>(nn::ThresholdHead::Options{
        .inputs = conv.in_channels, .units = conv.out_channels, .squeeze = o.squeeze});
    head->reset_parameters(
        [&](std::string_view member) { return place.rng(cat("manidp ", member)); });
    nn::add_channel_gate(place.convolution, head);
    return {};
  };
  const auto kept_of = [settings](int64_t channels, double density) {
    const int64_t least = std::clamp<int64_t>(settings.min_per_layer, 1, channels);
    return std::clamp(guarded_ceil(density * static_cast<double>(channels)), least, channels);
  };
  const auto end_epoch =
      [kept_of](nn::ThresholdHead& head, const nn::TrainState& now, Sparsity sparsity) {
        if (now.step == 0 || now.steps_per_epoch == 0 || now.step % now.steps_per_epoch != 0)
          return;
        const double density = 1.0 - sparsity.value();
        const double way = 0.5 * (1.0 + std::cos(std::numbers::pi * done(now, 1.0)));
        head.end_epoch(kept_of(head.bias.numel(), density + (1.0 - density) * way));
      };
  const auto computed = [kept_of](const GatePlace& place, Sparsity sparsity) {
    const int64_t channels = place.convolution.layer->options().out_channels;
    return static_cast<double>(kept_of(channels, 1.0 - sparsity.value())) /
           static_cast<double>(channels);
  };
  const auto prices = [o](const ThresholdGates& gates, const nn::TrainState& now) {
    return manifold_prices(o, gates, now);
  };
  return {.grain = GateGrain::Channels,
          .add = add,
          .set = end_epoch,
          .penalty = prices,
          .computed = computed};
}

}  // namespace

Method manidp() {
  return make_method<ManiDp>(
      {.name = "manidp",
       .title = "ManiDP: manifold regularized dynamic pruning",
       .paper = "Tang, Wang, Xu, Deng, Xu, Tao, Xu, arXiv 2103.05861",
       .year = 2021,
       .when = When::Runtime,
       .how = How::Learning,
       .idea = "Easy images need fewer channels, and images that look alike should use the same "
               "ones: both are prices on small gates in front of the layers.",
       .formula = "pi = relu(W relu(V mean(x)) + 1); y = norm(conv(x)) * (pi where pi >= xi, else "
                  "0), xi the k-th largest mean of pi over the last epoch, k = ceil(r * channels); "
                  "loss + sum over layers of lasso * mean_i w_i mean(pi_i) + similarity * "
                  "|R(features) - R(pi)|^2 / N^2, R cosines between the N images, w_i = "
                  "max(C - L_i, 0) / C, C = loss-limit * mean loss of the last epoch",
       .schedule =
           "best from trained weights; thresholds are set after every epoch, r falls from 1 to 1-S "
           "along a cosine over the whole training; in the first epoch all is open and nothing is "
           "easy. As published the first convolution has no gate. No weight is removed: S is the "
           "share of each gated layer's channels that lie below the threshold on average, or what "
           "a "
           "target of MACs asks",
       .differs = "the inner layer has a fourth of the inputs (published code: half of the "
                  "outputs, all of fewer than 80) and W small initial values (published: He's); "
                  "features are those behind a ReLU (published: a block's second ones before it); "
                  "thresholds are set from the end of the first epoch on (published: of the "
                  "second), in which nothing is easy (published: by losses measured before it)",
       .use_when =
           "Convolutions run on images one at a time, some of which are much easier than others.",
       .not_when = "Images come in large batches, or training is a few epochs: thresholds move "
                   "once an epoch.",
       .patterns = {"filter"}},
      {{&ManiDp::lasso, "lasso", {0, 1e6}, "", "price of easy images' pi"},
       {&ManiDp::similarity, "similarity", {0, 1e6}, "", "price of unlike similarities"},
       {&ManiDp::limit,
        "loss-limit",
        {0, 1000},
        "mean losses",
        "C: images with a larger loss are not easy"},
       {&ManiDp::squeeze,
        "squeeze",
        {1, 4096},
        "",
        "a gate's inner layer has 1/squeeze of inputs"}},
      [](const ManiDp& o, const PruneSettings& settings) -> Timeline {
        return {.events = {during(0.0, 1.0, gate(threshold_gates(o, settings)))},
                .refused = no_ablation("it has no masks that one could change")};
      });
}

}  // namespace espalier::prune::method_list
