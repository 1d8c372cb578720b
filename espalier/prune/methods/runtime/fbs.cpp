// SPDX-License-Identifier: Apache-2.0
/// Feature boosting and suppression: every image computes the output channels that a small
/// predictor expects to matter for it, scaled by how much they should.
///
/// Source: Gao, Zhao, Dudziak, Mullins, Xu, "Dynamic channel pruning: feature boosting and
/// suppression", arXiv 1810.05331. Gates and their arithmetic are nn/gates/saliency.h. Exactly
/// k channels stay, of equal saliencies the first; beta stands inside the product, as in the paper.
/// Predictors start from normal values of the published code's deviation 0.05, without its cut at
/// two deviations, which would only make their spread 12 % less; the paper's are He's. Starting
/// from a trained network, its scales become the predictors' offsets, and the density falls from 1
/// step by step.
#include <algorithm>

#include <espalier/autograd/ops.h>
#include <espalier/nn/module/init.h>
#include <espalier/prune/actions/gate.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Fbs {
  double lower_until = 0.5;
  double lasso = 1e-8;
  double predictor_std = 0.05;
};

Gates<nn::Saliency> gates(const Fbs& o, const PruneSettings& settings) {
  const auto add = [o](const GatePlace& place) -> std::string {
    if (place.convolution.norm == nullptr) return "no batch norm alone reads it";
    const auto gate = nn::add_saliency_gate(place.convolution);
    nn::init::normal(gate->weight, place.rng("fbs predictors"), 0.0, o.predictor_std);
    return {};
  };
  const auto kept = [settings](int64_t channels, double density) {
    const int64_t least = std::clamp<int64_t>(settings.min_per_layer, 1, channels);
    return std::clamp(guarded_ceil(density * static_cast<double>(channels)), least, channels);
  };
  const auto keep = [o, kept](nn::Saliency& gate, const nn::TrainState& state, Sparsity sparsity) {
    gate.keep(kept(gate.bias.numel(), 1.0 - sparsity.value() * done(state, o.lower_until)));
  };
  const auto computed = [kept](const GatePlace& place, Sparsity sparsity) {
    const int64_t channels = place.convolution.layer->options().out_channels;
    return static_cast<double>(kept(channels, 1.0 - sparsity.value())) /
           static_cast<double>(channels);
  };
  const auto lasso = [o](const RunningGate<nn::Saliency>& gate) -> Variable {
    const Variable& g = gate.decided.price;
    if (o.lasso == 0.0 || !g.defined()) return {};
    return sum(g) * (o.lasso / static_cast<double>(g.size(0)));
  };
  return {
      .grain = GateGrain::Channels, .add = add, .set = keep, .price = lasso, .computed = computed};
}

}  // namespace

Method fbs() {
  return make_method<Fbs>(
      {.name = "fbs",
       .title = "Feature boosting and suppression",
       .paper = "Gao, Zhao, Dudziak, Mullins, Xu, arXiv 1810.05331",
       .year = 2019,
       .when = When::Runtime,
       .how = How::Learning,
       .idea = "Which channels matter depends on the image: predict it from the means of a layer's "
               "input channels, compute the most salient channels only, and boost them by what was "
               "predicted.",
       .formula = "g = max(phi mean|x| + rho, 0); pi = the k largest g of the image, else 0, k = "
                  "ceil((1-S) * channels); y = max(pi * (norm(conv(x)) + beta), 0), norm without "
                  "scale; loss + lasso * sum of g, mean over images",
       .schedule = "best from trained weights; the share of computed channels falls linearly from "
                   "1 to 1-S until `lower-until`, then fine-tuning. No weight is removed: S is the "
                   "share of each gated layer's channels that an image leaves out; of a target of "
                   "MACs the least at which gates leave so much, zeros that ReLUs make aside",
       .differs = "the first convolution has no gate, whose predictor would see the means of the "
                  "image's colours alone (published: all convolutions have one); of equal "
                  "saliencies the first stay (published: all of them go); the shift stands inside "
                  "the product, as in the paper (the code leaves it outside)",
       .use_when = "Inputs differ in the channels they need, all weights may stay, and images "
                   "come one by one.",
       .not_when = "All inputs may cost the same: cut channels kept more accuracy at equal cost "
                   "(static_dynamic.md).",
       .patterns = {"filter"}},
      {{&Fbs::lower_until,
        "lower-until",
        {0, 1},
        "fraction of training",
        "until here the density falls from 1; 0: final from the first step"},
       {&Fbs::lasso, "lasso", {0, 1e6}, "", "price of a saliency in the loss"},
       {&Fbs::predictor_std, "predictor-std", {0, 10}, "", "of phi's first, normal values"}},
      [](const Fbs& o, const PruneSettings& settings) -> Timeline {
        return {.events = {during(0.0, 1.0, gate(gates(o, settings)))},
                .refused = no_ablation("it has no masks that one could change")};
      });
}

}  // namespace espalier::prune::method_list
