// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <espalier/nn/forms/projection.h>
#include <espalier/nn/train/contrastive.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/actions/train_under_forms.h>

namespace espalier::prune {
namespace {

class LearnTwoViews : public Action {
 public:
  explicit LearnTwoViews(const TwoViewOptions& options) : options_(options) {}
  ActionFacts facts() const override { return {.needs_data = true}; }

  nn::Objective* objective(const Subject& subject, nn::TrainState& state) override {
    const Rng of_step = Rng(subject.inputs.seed, "views").fork(static_cast<uint64_t>(state.step));
    std::vector<float> mean, stddev;
    if (state.loader != nullptr) {
      const data::LoaderOptions& loading = state.loader->options();
      mean = loading.mean.empty() ? state.loader->dataset().mean() : loading.mean;
      stddev = loading.stddev.empty() ? state.loader->dataset().stddev() : loading.stddev;
    }
    objective_ = std::make_unique<nn::TwoViews>(
        [=, options = options_.views](const Tensor& images, int64_t view) {
          return data::random_views(
              images, mean, stddev, options, of_step.fork(static_cast<uint64_t>(view)));
        },
        options_.temperature);
    return objective_.get();
  }

 private:
  TwoViewOptions options_;
  std::unique_ptr<nn::TwoViews> objective_;
};

void put_projection(const Subject& subject, int64_t width) {
  const std::string name = classifier_weight(subject.model);
  const nn::Parameter& weight = subject.model.parameter(name);
  const auto head = std::make_shared<nn::Projection>(weight.shape(), width);
  const Rng rng(subject.inputs.seed, "projection");
  uint64_t number = 0;
  head->reset_parameters([&](std::string_view) { return rng.fork(number++); });
  head->to(weight.value.dtype());
  nn::put_form(subject.model, name, head);
}

}  // namespace

std::string classifier_weight(nn::Module& model) {
  std::string last;
  for (const nn::FormSite& site : nn::form_sites(model)) {
    if (site.slot.whole && site.slot.parameter->shape().rank() == 2) last = site.weight;
  }
  ESPALIER_CHECK(!last.empty(),
                 ValueError,
                 "prune: the model has no linear layer whose place a projection could take");
  return last;
}

std::vector<Event> learn_two_views(double from, double until, const TwoViewOptions& options) {
  const auto head = train_under_forms(
      {.kind = "projection",
       .put_on = [width = options.width](const Subject& of) { put_projection(of, width); },
       .mask = nn::FoldedMask::OfWeight});
  return {during(from, until, head), during(from, until, std::make_shared<LearnTwoViews>(options))};
}

}  // namespace espalier::prune
