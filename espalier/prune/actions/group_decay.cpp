// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/group_decay.h>

#include <cmath>

#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/scores/group_importance.h>
#include <espalier/prune/scores/norm_scale.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

class GroupDecay : public Action {
 public:
  explicit GroupDecay(const GroupDecayOptions& options) : options_(options) {}

  ActionFacts facts() const override { return {.needs_data = true}; }

  void after_backward(const Subject& subject, nn::TrainState&) override {
    if (sites_.empty()) {
      sites_ =
          MaskUpdate(subject.model, subject.pattern, subject.settings, subject.inputs, {}).sites();
      scales_ = norm_scales(subject.model);
    }
    for (const Site& site : sites_) {
      std::vector<double> roots = group_importance(site, scales_);
      for (double& root : roots) root = std::sqrt(root);
      const std::vector<double> factors = growing_factors(roots, site.alive(), options_.alpha);
      for (const SitePart* member : members_of(site, scales_)) {
        std::vector<double> amounts = member->parameter->value.value().to_vector<double>();
        for (size_t i = 0; i < amounts.size(); ++i) {
          const int64_t unit = member->units.unit(static_cast<int64_t>(i));
          amounts[i] *= unit < 0 ? 0.0 : options_.strength * factors[static_cast<size_t>(unit)];
        }
        add_to_gradient(*member->parameter, amounts);
      }
    }
  }

 private:
  GroupDecayOptions options_;
  std::vector<Site> sites_;  // found at the first step, also of a resumed run
  std::vector<nn::NamedParameter> scales_;
};

}  // namespace

std::shared_ptr<Action> group_decay(const GroupDecayOptions& options) {
  return std::make_shared<GroupDecay>(options);
}

}  // namespace espalier::prune
