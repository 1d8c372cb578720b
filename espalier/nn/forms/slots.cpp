// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/slots.h>

#include <algorithm>

namespace espalier::nn {

void FormSite::set(std::shared_ptr<Form> form) const {
  ESPALIER_CHECK(!*slot.form,
                 ValueError,
                 "forms: ",
                 weight,
                 " has a form already: ",
                 (*slot.form)->describe());
  ESPALIER_CHECK(slot.whole || !form->replaces_product(),
                 NotImplemented,
                 "forms: ",
                 form->describe(),
                 " can't be on ",
                 weight,
                 ", which ",
                 module->describe(),
                 " does not read in one product");
  *slot.form = std::move(form);
}

std::vector<FormSite> form_sites(Module& model) {
  std::vector<FormSite> out;
  for (const NamedModule& part : model.named_modules()) {
    auto* layer = dynamic_cast<Formed*>(part.module);
    if (layer == nullptr) continue;
    for (FormSlot& slot : layer->form_slots()) {
      const std::string weight = part.name.empty() ? slot.weight : part.name + "." + slot.weight;
      out.push_back({part.name, weight, part.module, std::move(slot)});
    }
  }
  return out;
}

FormSite form_site(Module& model, const std::string& weight) {
  std::vector<FormSite> sites = form_sites(model);
  const auto found = std::ranges::find(sites, weight, &FormSite::weight);
  ESPALIER_CHECK(found != sites.end(),
                 ValueError,
                 "forms: the model has no such product with a weight: ",
                 weight);
  return *found;
}

std::vector<BlockSite> block_sites(Module& model) {
  std::vector<BlockSite> out;
  for (const NamedModule& part : model.named_modules()) {
    auto* block = dynamic_cast<FormedBlock*>(part.module);
    if (block == nullptr || !block->has_shortcut()) continue;
    out.push_back({part.name, part.module, block});
  }
  return out;
}

bool has_forms(Module& model) {
  const std::vector<FormSite> sites = form_sites(model);
  const std::vector<BlockSite> blocks = block_sites(model);
  return std::ranges::any_of(sites, [](const FormSite& site) { return site.form() != nullptr; }) ||
         std::ranges::any_of(blocks,
                             [](const BlockSite& site) { return site.block->form != nullptr; });
}

void fold_forms(Module& model) {
  const std::vector<FormSite> sites = form_sites(model);
  for (const FormSite& site : sites) {
    ESPALIER_CHECK(!site.form() || !site.form()->replaces_product(),
                   NotImplemented,
                   "fold_forms: ",
                   site.weight,
                   " has a form that no plain weight replaces: ",
                   site.form()->describe());
  }
  for (const FormSite& site : sites) {
    if (!site.form()) continue;
    site.form()->fold(*site.slot.parameter);
    *site.slot.form = nullptr;
  }
}

}  // namespace espalier::nn
