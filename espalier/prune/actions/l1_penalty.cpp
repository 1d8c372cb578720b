// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {
namespace {

class L1Penalty : public Action {
 public:
  explicit L1Penalty(double strength) : strength_(strength) {}

  ActionFacts facts() const override { return {.needs_data = true}; }

  void after_backward(const Subject& subject, nn::TrainState&) override {
    if (strength_ == 0.0) return;
    for (const nn::NamedParameter& weight :
         prunable_weights(subject.model, subject.settings.exclude)) {
      add_l1_gradient(*weight.parameter, strength_);
    }
  }

 private:
  double strength_;
};

}  // namespace

std::shared_ptr<Action> l1_penalty(double strength) {
  return std::make_shared<L1Penalty>(strength);
}

}  // namespace espalier::prune
