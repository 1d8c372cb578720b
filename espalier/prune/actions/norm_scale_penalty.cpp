// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <espalier/prune/actions/actions.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/scores/norm_scale.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

class NormScalePenalty : public Action {
 public:
  NormScalePenalty(double strength, double initial_scale)
      : strength_(strength), initial_scale_(initial_scale) {}

  ActionFacts facts() const override { return {.needs_data = true, .needs_norm = true}; }

  void check(const Subject& subject) override {
    const std::vector<nn::NamedParameter> scales = norm_scales(subject.model);
    const MaskUpdate places(subject.model,
                            subject.pattern,
                            subject.settings,
                            subject.inputs,
                            {.single_producer_only = true});
    ESPALIER_CHECK(
        std::ranges::any_of(places.sites(),
                            [&](const Site& site) { return has_norm_scale(site, scales); }),
        ValueError,
        "prune: needs batch norm behind convolutions, whose scales it trains; no channel "
        "of this model that may go has one. Choose another method (l1-filters, taylor), "
        "or a model with batch norm (vgg16, resnet20)");
  }

  void enter(const Subject&, nn::TrainState& state) override {
    for (const nn::NamedParameter& scale : norm_scales(state.model)) {
      const std::vector<float> gamma = scale.parameter->value.value().to_vector<float>();
      const bool fresh = std::ranges::all_of(gamma, [](float g) { return g == 1.0F; });
      if (fresh) scale.parameter->value.value().fill_(initial_scale_);
      scale.parameter->apply_mask();
    }
  }

  void after_backward(const Subject&, nn::TrainState& state) override {
    for (const nn::NamedParameter& scale : norm_scales(state.model)) {
      add_l1_gradient(*scale.parameter, strength_);
    }
  }

 private:
  double strength_;
  double initial_scale_;
};

}  // namespace

std::shared_ptr<Action> norm_scale_penalty(double strength, double initial_scale) {
  return std::make_shared<NormScalePenalty>(strength, initial_scale);
}

}  // namespace espalier::prune
