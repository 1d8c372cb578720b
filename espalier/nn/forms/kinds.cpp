// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/kinds.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <espalier/core/detail/json.h>

namespace espalier::nn {

#define ESPALIER_PART(part) PartKind part##_part();
#include <espalier/nn/forms/kinds.inc>
#undef ESPALIER_PART

namespace {

using nlohmann::json;

// A batch norm that a form goes on in.
constexpr const char* kNorm = "norm";
// The layer whose form has the parameters.
constexpr const char* kShares = "shares";

std::vector<PartKind>& kinds() {
  static std::vector<PartKind> list = {
#define ESPALIER_PART(part) part##_part(),
#include <espalier/nn/forms/kinds.inc>
#undef ESPALIER_PART
  };
  return list;
}

json told(const Attached& part) {
  json out = {{"kind", part.kind()}, {"settings", part.settings()}};
  for (const auto& [name, word] : part.words()) out[name] = word;
  return out;
}

PartDescription read(const json& entry) {
  PartDescription out{.kind = entry.at("kind").get<std::string>()};
  for (const auto& [name, value] : entry.at("settings").items()) {
    out.settings[name] = value.get<double>();
  }
  for (const auto& [name, value] : entry.items()) {
    if (name != "kind" && name != "settings") out.words[name] = value.get<std::string>();
  }
  return out;
}

template <class Kind>
std::shared_ptr<Kind> make(const PartPlace& place, const PartDescription& description) {
  auto part = std::dynamic_pointer_cast<Kind>(part_kind(description.kind).make(place, description));
  ESPALIER_CHECK(
      part, ValueError, "forms: ", place.name, " can't have a part of kind ", description.kind);
  return part;
}

void link_norm(Module& model, const FormSite& site, const std::string& norm_name) {
  auto form = std::dynamic_pointer_cast<ScalingForm>(*site.slot.form);
  for (const NamedModule& part : model.named_modules()) {
    if (part.name != norm_name) continue;
    auto* norm = dynamic_cast<FormedNorm*>(part.module);
    if (norm != nullptr && form) return norm->set_scaling(form);
  }
  throw ValueError(cat("forms: ", site.name(), " can't go on in a batch norm ", norm_name));
}

void restore(Module& model, const std::string& name, const PartDescription& description) {
  const std::vector<FormSite> sites = form_sites(model);
  const auto site = std::ranges::find(sites, name, &FormSite::name);
  if (site != sites.end()) {
    const auto form = make<Form>({name, &*site}, description);
    if (description.words.contains(kShares)) {
      const auto first = std::ranges::find(sites, description.words.at(kShares), &FormSite::name);
      ESPALIER_CHECK(first != sites.end() && first->form(),
                     ValueError,
                     "forms: ",
                     name,
                     " shares what is not there, the form of ",
                     description.words.at(kShares));
      form->share(*first->form());
    }
    site->set(form);
    if (description.words.contains(kNorm)) link_norm(model, *site, description.words.at(kNorm));
    return;
  }
  const std::vector<BlockSite> blocks = block_sites(model);
  const auto block = std::ranges::find(blocks, name, &BlockSite::name);
  ESPALIER_CHECK(
      block != blocks.end(), ValueError, "forms: the model has no such layer or block: ", name);
  block->block->form = make<BlockForm>({name, nullptr}, description);
}

}  // namespace

const PartKind& part_kind(const std::string& name) {
  const std::vector<PartKind>& all = kinds();
  const auto found = std::ranges::find(all, name, &PartKind::name);
  if (found == all.end()) {
    std::string known;
    for (const PartKind& kind : all) known += (known.empty() ? "" : ", ") + kind.name;
    throw ValueError(cat("forms: unknown kind '", name, "'; known are ", known));
  }
  return *found;
}

void register_part_kind(PartKind kind) {
  ESPALIER_CHECK(std::ranges::find(kinds(), kind.name, &PartKind::name) == kinds().end(),
                 ValueError,
                 "forms: there is a kind '",
                 kind.name,
                 "' already");
  kinds().push_back(std::move(kind));
}

std::string describe_forms(Module& model) {
  std::unordered_map<const Form*, std::string> norms;
  for (const NamedModule& part : model.named_modules()) {
    const auto* norm = dynamic_cast<FormedNorm*>(part.module);
    if (norm != nullptr && norm->scaling()) norms[norm->scaling().get()] = part.name;
  }
  json out = json::object();
  std::unordered_map<const VariableState*, std::string> first;
  for (const FormSite& site : form_sites(model)) {
    if (!site.form()) continue;
    out[site.name()] = told(*site.form());
    for (const NamedParameter& p : site.form()->named_parameters()) {
      const auto [owner, fresh] = first.emplace(p.parameter->value.state().get(), site.name());
      if (!fresh) out[site.name()][kShares] = owner->second;
    }
    if (norms.contains(site.form())) out[site.name()][kNorm] = norms.at(site.form());
  }
  for (const BlockSite& site : block_sites(model)) {
    if (site.block->form) out[site.name] = told(*site.block->form);
  }
  return out.empty() ? "" : out.dump();
}

void restore_forms(Module& model, const std::string& description) {
  try {
    const json layers = espalier::detail::parse_json<json>(description, "forms: their description");
    // Those whose parameters others share come first.
    for (const bool sharing : {false, true}) {
      for (const auto& [name, entry] : layers.items()) {
        const PartDescription description = read(entry);
        if (description.words.contains(kShares) == sharing) restore(model, name, description);
      }
    }
  } catch (const IoError& e) {  // it is an argument here, of whatever file it came from
    throw ValueError(e.what());
  } catch (const json::exception& e) {
    throw ValueError(cat("forms: bad description: ", espalier::detail::json_words(e)));
  }
}

}  // namespace espalier::nn
