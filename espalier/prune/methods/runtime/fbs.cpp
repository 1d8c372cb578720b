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
#include <espalier/nn/module/init.h>
#include <espalier/prune/methods/runtime/gated.h>
#include <espalier/prune/select.h>

namespace espalier::prune::method_list {
namespace {

constexpr const char* kName = "fbs";

class FbsPruner : public Pruner {
 public:
  FbsPruner(double lower_until, double lasso, PruneSettings settings)
      : lower_until_(lower_until), lasso_(lasso), settings_(std::move(settings)) {}

  void before_training(nn::TrainState& state) override { set_kept(state); }
  void before_step(nn::TrainState& state) override { set_kept(state); }
  void end_of_training(nn::TrainState& state) override { set_kept(state); }

  Variable penalty(nn::TrainState& state) override {
    Variable sum_of_saliencies;
    for (nn::ChannelGate* gate : gates_of<nn::ChannelGate>(kName, state.model)) {
      const Variable g = gate->take_price();
      if (lasso_ == 0.0 || !g.defined()) continue;
      const Variable one = sum(g) * (lasso_ / static_cast<double>(g.size(0)));
      sum_of_saliencies = sum_of_saliencies.defined() ? sum_of_saliencies + one : one;
    }
    return sum_of_saliencies;
  }

 private:
  /// A function of the step alone; gates remember what was set.
  void set_kept(nn::TrainState& state) const {
    const double lowering = lower_until_ * static_cast<double>(state.total_steps);
    const auto step = static_cast<double>(state.step);
    const double done = step >= lowering ? 1.0 : step / lowering;
    const double density = 1.0 - settings_.sparsity.value() * done;
    for (nn::Saliency* gate : gates_of<nn::Saliency>(kName, state.model)) {
      const int64_t channels = gate->bias.numel();
      const int64_t least = std::clamp<int64_t>(settings_.min_per_layer, 1, channels);
      gate->keep(
          std::clamp(guarded_ceil(density * static_cast<double>(channels)), least, channels));
    }
  }

  double lower_until_;
  double lasso_;
  PruneSettings settings_;
};

}  // namespace

Method fbs() {
  return {
      .name = kName,
      .title = "Feature boosting and suppression",
      .paper = "Gao, Zhao, Dudziak, Mullins, Xu, arXiv 1810.05331",
      .year = 2019,
      .speedup = Speedup::Structured,
      .when = When::Runtime,
      .how = How::Learning,
      .idea =
          "Which channels matter depends on the image: predict it from the means of a layer's "
          "input "
          "channels, compute the most salient channels only, and boost them by what was predicted.",
      .formula =
          "g = max(phi mean|x| + rho, 0); pi = the k largest g of the image, else 0, k = "
          "ceil((1-S) * channels); y = max(pi * (norm(conv(x)) + beta), 0), norm without scale; "
          "loss + lasso * sum of g, mean over images",
      .schedule =
          "best from trained weights; the share of computed channels falls linearly from 1 to 1-S "
          "until `lower-until`, then fine-tuning. No weight is removed: S is the share of each "
          "gated layer's channels that an image leaves out",
      .differs =
          "the first convolution has no gate, whose predictor would see the means of the "
          "image's colours alone (published: all convolutions have one); of equal saliencies "
          "the first stay (published: all of them go); the shift stands inside the product, as "
          "in the paper (the code leaves it outside)",
      .patterns = {"filter"},
      .options =
          {
              real_option("lower-until",
                          0.5,
                          0.0,
                          1.0,
                          "fraction of training",
                          "until here the density falls from 1; 0: final from the first step"),
              real_option("lasso", 1e-8, 0.0, 1e6, "", "price of a saliency in the loss"),
              real_option("predictor-std", 0.05, 0.0, 10.0, "", "of phi's first, normal values"),
          },
      .make =
          [](const OptionValues& options, const PruneSettings& settings, const PruneInputs&) {
            return std::make_unique<FbsPruner>(
                options.real("lower-until"), options.real("lasso"), settings);
          },
      .prepare =
          [](const OptionValues& options,
             const PruneSettings& settings,
             const PruneInputs& inputs,
             nn::Module& model) {
            const auto add = [&](const nn::GateSite& site, int64_t number) -> std::string {
              if (site.norm == nullptr) return "no batch norm alone reads it";
              const auto gate = nn::add_saliency_gate(site);
              nn::init::normal(
                  gate->weight,
                  Rng(inputs.seed, "fbs predictors").fork(static_cast<uint64_t>(number)),
                  0.0,
                  options.real("predictor-std"));
              return {};
            };
            return add_gates(kName, "channels", settings, inputs, model, add);
          },
  };
}

}  // namespace espalier::prune::method_list
