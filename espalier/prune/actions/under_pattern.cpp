// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <espalier/prune/actions/actions.h>

namespace espalier::prune {
namespace {

class UnderPattern : public Action {
 public:
  UnderPattern(const std::string& pattern, std::shared_ptr<Action> action)
      : pattern_(make_pattern(pattern)), action_(std::move(action)) {}

  ActionFacts facts() const override { return action_->facts(); }
  const UpdateParts* parts() const override { return action_->parts(); }
  std::string refusal(const Pattern&) const override { return action_->refusal(pattern_.common()); }
  std::optional<std::string> target_refusal(const Target& target) const override {
    return action_->target_refusal(target);
  }
  std::vector<std::string> attach(const Subject& subject) override {
    return action_->attach(own(subject));
  }
  void check(const Subject& subject) override { action_->check(own(subject)); }
  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber number) override {
    return action_->update(own(subject), rounds, number);
  }
  bool needs_gradients(const Moment& moment) const override {
    return action_->needs_gradients(moment);
  }
  void enter(const Subject& subject, nn::TrainState& state) override {
    action_->enter(own(subject), state);
  }
  void leave(const Subject& subject, nn::TrainState& state) override {
    action_->leave(own(subject), state);
  }
  void before_step(const Subject& subject, nn::TrainState& state) override {
    action_->before_step(own(subject), state);
  }
  nn::Objective* objective(const Subject& subject, nn::TrainState& state) override {
    return action_->objective(own(subject), state);
  }
  Variable penalty(const Subject& subject, nn::TrainState& state) override {
    return action_->penalty(own(subject), state);
  }
  void after_backward(const Subject& subject, nn::TrainState& state) override {
    action_->after_backward(own(subject), state);
  }
  void after_step(const Subject& subject, nn::TrainState& state) override {
    action_->after_step(own(subject), state);
  }
  bool observes_dense_gradients() const override { return action_->observes_dense_gradients(); }
  void observe(nn::TrainState& state) override { action_->observe(state); }
  std::map<std::string, Tensor> state() const override { return action_->state(); }
  void load_state(const std::map<std::string, Tensor>& state) override {
    action_->load_state(state);
  }

 private:
  Subject own(const Subject& subject) const {
    return {subject.model, subject.optimizer, pattern_, subject.settings, subject.inputs};
  }

  LayerPatterns pattern_;
  std::shared_ptr<Action> action_;
};

}  // namespace

std::shared_ptr<Action> under_pattern(const std::string& pattern, std::shared_ptr<Action> action) {
  return std::make_shared<UnderPattern>(pattern, std::move(action));
}

}  // namespace espalier::prune
