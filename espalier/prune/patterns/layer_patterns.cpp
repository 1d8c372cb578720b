// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/patterns/layer_patterns.h>

#include <algorithm>

#include <espalier/core/error.h>

namespace espalier::prune {
namespace {

constexpr const char* kWhat = "layer patterns";

std::shared_ptr<const Pattern> pattern_of(const LayerSetting& setting) {
  std::shared_ptr<const Pattern> pattern;
  try {
    pattern = make_pattern(setting.value);
  } catch (const ValueError& error) {
    throw ValueError(cat(kWhat, ": ", setting.layer, ": ", error.what()));
  }
  if (!pattern->coupled()) return pattern;
  std::string known;
  for (const std::string& name : pattern_names()) {
    if (name != setting.value) known += (known.empty() ? "" : ", ") + name;
  }
  throw ValueError(cat(kWhat,
                       ": ",
                       setting.layer,
                       ": pattern ",
                       setting.value,
                       " is of the whole network, as channels go with all that is tied to them. Of "
                       "single layers are: ",
                       known,
                       ", and every BxC, N:M and N:MgG."));
}

}  // namespace

LayerPatterns::LayerPatterns() : LayerPatterns(make_pattern("unstructured")) {}

LayerPatterns::LayerPatterns(std::shared_ptr<const Pattern> common) : common_(std::move(common)) {}

LayerPatterns::LayerPatterns(std::shared_ptr<const Pattern> common, const std::string& exceptions)
    : common_(std::move(common)), exceptions_(parse_layer_settings(exceptions, kWhat)) {
  for (const LayerSetting& setting : exceptions_) {
    patterns_.push_back(pattern_of(setting));
    ESPALIER_CHECK(!common_->coupled(),
                   ValueError,
                   kWhat,
                   ": ",
                   setting.layer,
                   ": pattern ",
                   common_->name(),
                   " is of the whole network, so no layer can have another");
  }
}

const Pattern& LayerPatterns::of(const std::string& weight) const {
  const LayerSetting* own = setting_of(exceptions_, weight);
  return own == nullptr ? *common_ : *patterns_[static_cast<size_t>(own - exceptions_.data())];
}

std::vector<const Pattern*> LayerPatterns::all() const {
  std::vector<const Pattern*> all = {common_.get()};
  for (const auto& pattern : patterns_) all.push_back(pattern.get());
  return all;
}

bool LayerPatterns::any_cells() const {
  return std::ranges::any_of(all(), [](const Pattern* one) { return one->cell().size > 0; });
}

bool LayerPatterns::all_cells() const {
  return std::ranges::all_of(all(), [](const Pattern* one) { return one->cell().size > 0; });
}

std::string LayerPatterns::name() const {
  std::string name = common_->name();
  for (const LayerSetting& one : exceptions_) name += cat(", ", one.layer, "=", one.value);
  return name;
}

}  // namespace espalier::prune
