// SPDX-License-Identifier: Apache-2.0
/// Network Slimming: an l1 penalty on batch norm's scales makes them say which channels matter.
///
/// Source: Liu, Li, Shen, Huang, Yan, Zhang, "Learning efficient convolutional networks through
/// network slimming", arXiv 1708.06519. Scales that are all 1 start at 0.5, as there. The number of
/// removed channels is exact (the published threshold removes the channel that it stands on too:
/// `published-threshold`). Channels of residual sums stay, where the paper's pre-activation
/// networks select the channels that a block reads. One learning-rate schedule spans the penalty
/// and the fine-tuning, where the paper starts it again for the latter: that is a run with
/// `prune-at` 1, and a second `train --weights` of its result.
#include <algorithm>

#include <espalier/prune/methods/methods.h>
#include <espalier/prune/penalty.h>
#include <espalier/prune/regularized_pruner.h>
#include <espalier/prune/scores/norm_scale.h>

namespace espalier::prune::method_list {
namespace {

struct SlimmingOptions {
  double prune_at = 0.5;
  double strength = 1e-4;
  double initial_scale = 0.5;
  GlobalCount count = GlobalCount::Exact;
};

class SlimmingPruner : public RegularizedPruner {
 public:
  SlimmingPruner(const SlimmingOptions& options,
                 const PruneSettings& settings,
                 const PruneInputs& inputs)
      : RegularizedPruner(options.prune_at, make_pattern("channel"), settings, inputs),
        options_(options) {}

 protected:
  void begin(nn::TrainState& state) override {
    const std::vector<ScoredWeight> scales = norm_scales(state.model);
    ESPALIER_CHECK(
        std::ranges::any_of(find_sites(state, true),
                            [&](const Site& site) { return has_norm_scale(site, scales); }),
        ValueError,
        "prune network-slimming: needs batch norm behind convolutions, whose scales it "
        "trains; no channel of this model that may go has one. Choose another method "
        "(l1-filters, taylor), or a model with batch norm (vgg16, resnet20)");
    for (const ScoredWeight& scale : scales) {
      const std::vector<float> gamma = scale.parameter->value.value().to_vector<float>();
      const bool fresh = std::ranges::all_of(gamma, [](float g) { return g == 1.0F; });
      if (fresh) scale.parameter->value.value().fill_(options_.initial_scale);
      scale.parameter->apply_mask();
    }
  }

  void add_penalty(nn::TrainState& state) override {
    for (const ScoredWeight& scale : norm_scales(state.model)) {
      add_l1_gradient(*scale.parameter, options_.strength);
    }
  }

  void prune(nn::TrainState& state) override {
    PruneSettings with_norms = settings();
    // The published code builds no network with an empty layer, and neither do we.
    if (!with_norms.allow_collapse) {
      with_norms.min_per_layer = std::max<int64_t>(with_norms.min_per_layer, 1);
    }
    const std::vector<ScoredWeight> scales = norm_scales(state.model);
    for (const Site& site : find_sites(state, true)) {
      if (!has_norm_scale(site, scales)) with_norms.exclude.push_back(site.name);
    }
    const std::unique_ptr<Score> score = norm_scale_score();
    remove_units(state, with_norms, *score, *global_units_allocation(options_.count), true);
  }

 private:
  SlimmingOptions options_;
};

}  // namespace

Method network_slimming() {
  return {
      .name = "network-slimming",
      .title = "Network Slimming",
      .paper = "Liu, Li, Shen, Huang, Yan, Zhang, arXiv 1708.06519",
      .year = 2017,
      .speedup = Speedup::Structured,
      .when = When::During,
      .how = How::Learning,
      .one_shot = true,
      .global = true,
      .data_free = false,
      .idea =
          "Batch norm scales every channel anyway: train with an l1 penalty on the scales, and "
          "remove the channels whose scale it brought near zero.",
      .formula =
          "loss + s * sum |gamma| over all batch norms; then the fraction S of the channels that "
          "can go (of "
          "channels, not of weights) with the lowest |gamma| goes, over all layers together",
      .schedule =
          "penalty until `prune-at`, one update there, then fine-tuning without it under the "
          "same learning-rate schedule; then shrink",
      .differs =
          "the number of channels is exact (published: the one on the threshold goes too, "
          "`published-threshold`); channels of residual sums stay; one learning-rate schedule "
          "spans penalty and fine-tuning (published: it starts again)",
      .patterns = {"channel"},
      .options =
          {
              real_option("strength", 1e-4, 0.0, 10.0, "", "s, relative to the batch's mean loss"),
              real_option("initial-scale", 0.5, 0.0, 10.0, "", "of scales that are still all 1"),
              prune_at_option(),
              flag_option("published-threshold",
                          "remove the channel on the threshold too, as the published code"),
          },
      .make =
          [](const OptionValues& options,
             const PruneSettings& settings,
             const PruneInputs& inputs) {
            return std::make_unique<SlimmingPruner>(
                SlimmingOptions{.prune_at = options.real("prune-at"),
                                .strength = options.real("strength"),
                                .initial_scale = options.real("initial-scale"),
                                .count = options.flag("published-threshold")
                                             ? GlobalCount::Threshold
                                             : GlobalCount::Exact},
                settings,
                inputs);
          },
  };
}

}  // namespace espalier::prune::method_list
