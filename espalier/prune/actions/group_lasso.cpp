// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

constexpr double kCut = 1e-4;  // of the published code

/// What a constant gradient of 1 moves a weight by in a step, once momentum has built up.
double lasting_rate(const nn::Optimizer& optimizer) {
  const auto* sgd = dynamic_cast<const nn::Sgd*>(&optimizer);
  if (sgd == nullptr) return optimizer.lr();
  ESPALIER_CHECK(sgd->momentum() < 1.0,
                 ValueError,
                 "prune: the proximal step of a group lasso needs a momentum below 1, got ",
                 sgd->momentum());
  return optimizer.lr() / (1.0 - sgd->momentum());
}

class GroupLasso : public Action {
 public:
  explicit GroupLasso(const GroupLassoOptions& options) : options_(options) {}

  ActionFacts facts() const override { return {.needs_data = true}; }

  void after_backward(const Subject& subject, nn::TrainState&) override {
    if (options_.step == LassoStep::Proximal) return;
    for_each_group(subject, [](const SitePart& part, double strength) {
      add_group_lasso_gradient(*part.parameter, part.units, strength);
    });
  }

  void after_step(const Subject& subject, nn::TrainState& state) override {
    const bool proximal = options_.step == LassoStep::Proximal;
    const double rate = proximal ? lasting_rate(state.optimizer) : 0.0;
    for_each_group(subject, [&](const SitePart& part, double strength) {
      if (proximal) {
        shrink_groups(*part.parameter, part.units, rate * strength);
      } else if (strength > 0.0) {
        cut_small(*part.parameter, kCut);
      }
    });
  }

 private:
  template <class Visit>
  void for_each_group(const Subject& subject, const Visit& visit) {
    if (sites_.empty()) {
      sites_ =
          MaskUpdate(subject.model, subject.pattern, subject.settings, subject.inputs, {}).sites();
    }
    for (const Site& site : sites_) {
      for (const SitePart& part : site.parts) {
        if (part.scored) visit(part, options_.filters);
        if (part.role == SliceRole::Consumer) visit(part, options_.channels);
      }
    }
  }

  GroupLassoOptions options_;
  std::vector<Site> sites_;  // found at the first step, also of a resumed run
};

}  // namespace

std::shared_ptr<Action> channel_group_lasso(const GroupLassoOptions& options) {
  return std::make_shared<GroupLasso>(options);
}

}  // namespace espalier::prune
