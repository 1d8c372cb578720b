// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/generated_weights.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <espalier/nn/forms/generated_weight.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

MaskUpdate channels_of(const Subject& subject) {
  return {subject.model, subject.pattern, subject.settings, subject.inputs, SiteRules{}};
}

/// Sets a weight's mask to 0 for the units of a site behind the first `units`.
void crop(Tensor& mask, const SitePart& part, int64_t units) {
  if (!mask.defined()) mask = Tensor::ones(part.parameter->shape(), DType::U8);
  for (int64_t i = 0; i < mask.numel(); ++i) {
    if (part.units.unit(i) >= units) mask.data<uint8_t>()[i] = 0;
  }
}

class RandomWidths : public Action {
 public:
  explicit RandomWidths(const Gene& widths) : widths_(widths) {}

  void before_step(const Subject& subject, nn::TrainState& state) override {
    if (model_ != &state.model) {
      sites_ = channels_of(subject).sites();
      model_ = &state.model;
    }
    Rng rng = Rng(subject.inputs.seed, "random widths").fork(static_cast<uint64_t>(state.step));
    std::map<const nn::Parameter*, Tensor> crops;
    for (const Site& site : sites_) {
      const double units = draw(widths_, rng) * static_cast<double>(site.units);
      for (const SitePart& part : site.parts) {
        if (part.parameter->shape().rank() < 2) continue;
        crop(crops[part.parameter], part, std::max<int64_t>(std::llround(units), 1));
      }
    }
    for (const nn::FormSite& site : nn::form_sites(state.model)) {
      auto* form = dynamic_cast<nn::GeneratedWeight*>(site.form());
      if (form != nullptr) form->set_crop(crops[site.slot.parameter]);
    }
  }

 private:
  Gene widths_;
  const nn::Module* model_ = nullptr;  // of `sites_`
  std::vector<Site> sites_;
};

}  // namespace

void put_generated_weights(const Subject& subject, int64_t hidden) {
  std::set<const nn::Parameter*> seen;
  const MaskUpdate places = channels_of(subject);
  for (const Site& site : places.sites()) {
    for (const SitePart& part : site.parts) {
      if (part.parameter->shape().rank() < 2 || !seen.insert(part.parameter).second) continue;
      const auto form = std::make_shared<nn::GeneratedWeight>(part.parameter->shape(), hidden);
      form->reset_parameters([&](std::string_view member) {
        return Rng(subject.inputs.seed, cat("generated weight ", part.name, " ", member));
      });
      form->to(part.parameter->value.dtype());
      form->generate_bias.value.value().copy_(part.parameter->value.value());
      nn::put_form(subject.model, part.name, form);
    }
  }
}

std::shared_ptr<Action> random_widths(const Gene& widths) {
  return std::make_shared<RandomWidths>(widths);
}

}  // namespace espalier::prune
