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

void put_form(Module& model, const std::string& weight, const std::shared_ptr<Form>& form) {
  const auto first = form_site(model, weight).slot.parameter->value.state();
  for (const FormSite& site : form_sites(model)) {
    if (site.slot.parameter->value.state() == first) site.set(form);
  }
}

std::map<const Parameter*, WeightFactors> weight_factors(Module& model) {
  std::map<const Parameter*, WeightFactors> out;
  for (const FormSite& site : form_sites(model)) {
    if (!site.form() || !site.form()->has_factors()) continue;
    WeightFactors one{.form = site.form()};
    for (const NamedParameter& p : site.form()->named_parameters()) {
      one.numbers += p.parameter->numel();
    }
    out.emplace(site.slot.parameter, one);
  }
  return out;
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

void fold_forms(const std::vector<FormSite>& sites, FoldedMask mask) {
  for (const FormSite& site : sites) {
    ESPALIER_CHECK(!site.form()->replaces_product(),
                   NotImplemented,
                   "fold_forms: ",
                   site.weight,
                   " has a form that no plain weight replaces: ",
                   site.form()->describe());
  }
  std::map<const VariableState*, std::shared_ptr<const sparse::Support>> folded;
  for (const FormSite& site : sites) {
    Parameter& weight = *site.slot.parameter;
    std::shared_ptr<const sparse::Support> own = weight.support;
    const auto [support, first] = folded.try_emplace(weight.value.state().get());
    if (first) {
      site.form()->fold(weight);
      support->second = weight.support;
    }
    weight.set_support(mask == FoldedMask::OfForm ? support->second : std::move(own));
    *site.slot.form = nullptr;
  }
}

void fold_forms(Module& model) {
  std::vector<FormSite> sites = form_sites(model);
  std::erase_if(sites, [](const FormSite& site) { return site.form() == nullptr; });
  fold_forms(sites, FoldedMask::OfForm);
}

void take_off_folded(Module& model, const std::map<std::string, Tensor>& state) {
  std::map<const VariableState*, std::string> names;
  for (const NamedParameter& p : model.named_parameters()) {
    names.emplace(p.parameter->value.state().get(), p.name);
  }
  const auto is_saved = [&](const FormSite& site) {
    for (const NamedParameter& p :
         site.form()->named_parameters()) {  // named where they come first
      return state.contains(names.at(p.parameter->value.state().get()));
    }
    const std::string prefix =
        site.layer + (site.layer.empty() ? "" : ".") + std::string(site.form()->member()) + ".";
    const auto next = state.lower_bound(prefix);
    return site.form()->named_buffers().empty() ||
           (next != state.end() && next->first.starts_with(prefix));
  };
  std::map<const Form*, bool> saved;
  const std::vector<FormSite> sites = form_sites(model);
  for (const FormSite& site : sites) {
    if (site.form() && !saved.contains(site.form())) saved[site.form()] = is_saved(site);
  }
  for (const FormSite& site : sites) {
    if (site.form() && !saved.at(site.form())) *site.slot.form = nullptr;
  }
}

std::map<const Parameter*, std::shared_ptr<const sparse::Support>> supports_under_forms(
    Module& model) {
  std::map<const Parameter*, std::shared_ptr<const sparse::Support>> out;
  for (const FormSite& site : form_sites(model)) {
    if (!site.form()) continue;
    if (auto support = site.form()->support(*site.slot.parameter)) {
      out.emplace(site.slot.parameter, std::move(support));
    }
  }
  return out;
}

}  // namespace espalier::nn
