// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {
namespace {

class ReleaseMasks : public Action {
 public:
  explicit ReleaseMasks(StateOfLiving state) : state_(state) {}

  ActionFacts facts() const override { return {.revives = true}; }
  std::string refusal(const Pattern& pattern) const override {
    if (!pattern.coupled()) return {};
    return cat("brings back weights alone, but ", pattern.name(), " removes what is tied to them");
  }

  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber) override {
    UpdateReport report{.step = rounds.back().step, .target_of = SparsityOf::Weights};
    for (const nn::NamedParameter& weight :
         prunable_weights(subject.model, subject.settings.exclude)) {
      nn::Parameter& parameter = *weight.parameter;
      const int64_t total = parameter.numel();
      report.layers.push_back({weight.name, total, total, total - parameter.nnz()});
      parameter.set_mask({});
    }
    if (state_ == StateOfLiving::Afresh && subject.optimizer != nullptr) {
      subject.optimizer->load_state_dict({});
    }
    return report;
  }

 private:
  StateOfLiving state_;
};

}  // namespace

std::shared_ptr<Action> release_masks(StateOfLiving state) {
  return std::make_shared<ReleaseMasks>(state);
}

}  // namespace espalier::prune
