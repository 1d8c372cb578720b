// SPDX-License-Identifier: Apache-2.0
/// Deep Compression's training: magnitude pruning, retraining, then k-means weight sharing whose
/// centroids are fine-tuned. What it leaves, `espalier compress` writes to a small file without
/// further loss.
///
/// Source: Han, Mao, Dally, "Deep Compression", arXiv 1510.00149. One threshold over all layers by
/// default, in one update: the paper's, hand-set per layer and round, come from a search that a
/// default can't do; `rounds` and `allocation` give its shape.
#include <espalier/nn/compress/weight_sharing.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/patterns/pattern.h>
#include <espalier/prune/select.h>
#include <espalier/prune/site.h>

namespace espalier::prune::method_list {
namespace {

constexpr const char* kMasks = "masks.";
constexpr const char* kSharing = "sharing.";

/// Prunes as MaskPruner does, then shares at a fraction of training and trains the centroids.
class DeepCompressionPruner : public Pruner {
 public:
  DeepCompressionPruner(const OptionValues& options,
                        const PruneSettings& settings,
                        const PruneInputs& inputs)
      : settings_(settings),
        share_at_(options.real("share-at")),
        sharing_({.conv = static_cast<int>(options.integer("conv-bits")),
                  .fc = static_cast<int>(options.integer("fc-bits"))},
                 options.real("centroid-rate")) {
    Recipe recipe;
    recipe.score = magnitude_score();
    recipe.allocation = make_allocation(options.text("allocation"));
    recipe.schedule = iterative_schedule(options.integer("rounds"), share_at_);
    const std::string pattern = settings.pattern.empty() ? "unstructured" : settings.pattern;
    masks_ =
        std::make_unique<MaskPruner>(std::move(recipe), make_pattern(pattern), settings, inputs);
    masks_->on_update = [this](const UpdateReport& report) { record(report, false); };
  }

  void before_training(nn::TrainState& state) override {
    masks_->before_training(state);
    share_if_due(state);
  }
  void before_step(nn::TrainState& state) override {
    masks_->before_step(state);
    share_if_due(state);
  }
  void after_backward(nn::TrainState& state) override {
    if (sharing_.active()) sharing_.after_backward(state.model);
  }
  void after_step(nn::TrainState& state) override {
    if (sharing_.active()) sharing_.after_step(state.model);
  }
  void end_of_training(nn::TrainState& state) override {
    masks_->end_of_training(state);
    share_if_due(state);
  }

  std::map<std::string, Tensor> state() const override {
    std::map<std::string, Tensor> out;
    for (const auto& [name, tensor] : masks_->state()) out.emplace(kMasks + name, tensor);
    for (const auto& [name, tensor] : sharing_.state()) out.emplace(kSharing + name, tensor);
    return out;
  }
  void load_state(const std::map<std::string, Tensor>& state) override {
    masks_->load_state(part(state, kMasks));
    sharing_.load_state(part(state, kSharing));
  }

 private:
  static std::map<std::string, Tensor> part(const std::map<std::string, Tensor>& state,
                                            const std::string& prefix) {
    std::map<std::string, Tensor> out;
    for (const auto& [name, tensor] : state) {
      if (name.starts_with(prefix)) out.emplace(name.substr(prefix.size()), tensor);
    }
    return out;
  }

  void share_if_due(nn::TrainState& state) {
    const int64_t due = guarded_floor(share_at_ * static_cast<double>(state.total_steps));
    if (sharing_.active() || state.step < due) return;
    std::vector<nn::NamedParameter> weights;
    for (const ScoredWeight& weight : prunable_weights(state.model, settings_.exclude)) {
      weights.push_back({weight.name, weight.parameter});
    }
    sharing_.share(weights, &state.optimizer);
  }

  PruneSettings settings_;
  double share_at_;
  nn::compress::WeightSharing sharing_;
  std::unique_ptr<MaskPruner> masks_;
};

}  // namespace

Method deep_compression() {
  return {
      .name = "deep-compression",
      .title = "Deep Compression",
      .paper = "Han, Mao, Dally, arXiv 1510.00149",
      .year = 2016,
      .speedup = Speedup::Unstructured,
      .when = When::After,
      .how = How::Fusion,
      .one_shot = true,
      .global = true,
      .data_free = true,
      .idea =
          "Prune, then let the weights that are left share a few values, then store values and "
          "positions in Huffman codes: three savings that multiply.",
      .formula =
          "s = |w|; the kept weights of a layer fall into 2^b clusters, min sum (w - c)^2 from "
          "centroids at equal distances; dL/dc = sum of dL/dw over the cluster",
      .schedule =
          "start from trained weights; `rounds` prunings spread over the first `share-at` of "
          "training, sharing there, then centroids alone train; `espalier compress` writes the "
          "file",
      .differs =
          "one threshold over all layers and one update; the paper's are set by hand, per layer "
          "and round",
      .patterns = {"unstructured"},
      .options =
          {
              integer_option("rounds", 1, 1, 1000, "", "updates; 1 is one-shot, more is iterative"),
              real_option("share-at",
                          0.7,
                          0.0,
                          1.0,
                          "fraction of training",
                          "masks and clusters are fixed from here on"),
              integer_option(
                  "conv-bits", 8, 1, 16, "bits", "a convolution's weights have 2^bits values"),
              integer_option(
                  "fc-bits", 5, 1, 16, "bits", "a linear layer's weights have 2^bits values"),
              real_option("centroid-rate",
                          0.01,
                          1e-9,
                          1e3,
                          "",
                          "factor of a centroid's gradient, which is the sum of many"),
              allocation_option({"global", "uniform", "uniform-dense-first", "er", "erk"}),
          },
      .make = [](const OptionValues& options,
                 const PruneSettings& settings,
                 const PruneInputs& inputs) -> std::unique_ptr<Pruner> {
        return std::make_unique<DeepCompressionPruner>(options, settings, inputs);
      },
  };
}

}  // namespace espalier::prune::method_list
