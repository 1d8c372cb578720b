// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/compress/weight_sharing.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {
namespace {

class ShareWeights : public Action {
 public:
  explicit ShareWeights(const SharingOptions& options)
      : sharing_(
            {.conv = static_cast<int>(options.conv_bits), .fc = static_cast<int>(options.fc_bits)},
            options.centroid_rate) {}

  void enter(const Subject& subject, nn::TrainState& state) override {
    std::vector<nn::NamedParameter> weights;
    for (const nn::NamedParameter& weight :
         prunable_weights(state.model, subject.settings.exclude)) {
      weights.push_back({weight.name, weight.parameter});
    }
    sharing_.share(weights, &state.optimizer);
  }
  void after_backward(const Subject&, nn::TrainState& state) override {
    sharing_.after_backward(state.model);
  }
  void after_step(const Subject&, nn::TrainState& state) override {
    sharing_.after_step(state.model);
  }
  std::map<std::string, Tensor> state() const override { return sharing_.state(); }
  void load_state(const std::map<std::string, Tensor>& state) override {
    sharing_.load_state(state);
  }

 private:
  nn::compress::WeightSharing sharing_;
};

}  // namespace

std::shared_ptr<Action> share_weights(const SharingOptions& options) {
  return std::make_shared<ShareWeights>(options);
}

}  // namespace espalier::prune
