// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/actions.h>

namespace espalier::prune {
namespace {

class LearnOwnAnswers : public Action {
 public:
  explicit LearnOwnAnswers(const nn::DistillationOptions& options) : options_(options) {}
  ActionFacts facts() const override { return {.needs_data = true}; }

  std::vector<std::string> attach(const Subject& subject) override {
    teacher_ = subject.model.clone();
    objective_ = std::make_unique<nn::Distillation>(teacher_, options_);
    return {};
  }
  // The network may have been given other weights since it was attached to.
  void enter(const Subject& subject, nn::TrainState&) override { attach(subject); }
  nn::Objective* objective(const Subject&, nn::TrainState&) override { return objective_.get(); }

  std::map<std::string, Tensor> state() const override {
    return teacher_ ? teacher_->state_dict() : std::map<std::string, Tensor>();
  }
  void load_state(const std::map<std::string, Tensor>& state) override {
    if (state.empty()) return;  // saved before its event began
    ESPALIER_CHECK(teacher_,
                   ValueError,
                   "prune: the answers of a network to learn from can't be restored before "
                   "Pruner::attach");
    teacher_->load_state_dict(state);
  }

 private:
  nn::DistillationOptions options_;
  std::shared_ptr<nn::Module> teacher_;
  std::unique_ptr<nn::Distillation> objective_;
};

}  // namespace

std::shared_ptr<Action> learn_own_answers(const nn::DistillationOptions& options) {
  return std::make_shared<LearnOwnAnswers>(options);
}

}  // namespace espalier::prune
