// SPDX-License-Identifier: Apache-2.0
/// What tests over all methods share: hyper-parameters for trainings of a few steps, and what is
/// left of the units afterwards.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <espalier/prune/drive/registry.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune::testing {

/// Several updates in a dozen steps where the method has several, and few samples and candidates
/// where it looks at many.
inline OptionTexts short_options(const Method& method) {
  static const OptionTexts short_ones = {{"frequency", "2"},
                                         {"rounds", "3"},
                                         {"batches", "2"},
                                         {"episodes", "6"},
                                         {"warm-up", "3"},
                                         {"gradients", "8"},
                                         {"repair-steps", "20"}};
  OptionTexts given;
  for (const Option& option : method.options) {
    const auto found = short_ones.find(option.name);
    if (found != short_ones.end()) given[option.name] = found->second;
  }
  return given;
}

/// Masks by parameter.
using Masks = std::map<std::string, std::vector<int>>;

inline Masks masks_of(nn::Module& model) {
  Masks masks;
  for (const nn::NamedParameter& one : model.named_parameters()) {
    masks[one.name] = mask_of(*one.parameter);
  }
  return masks;
}

/// Of every unit of a site: 1 if it is there.
inline std::vector<int> kept_units(const Site& site, const Masks& masks) {
  std::vector<int> kept(static_cast<size_t>(site.units), -1);
  for (const SitePart& part : site.parts) {
    if (!part.scored) continue;
    const std::vector<int>& mask = masks.at(part.name);
    for (size_t i = 0; i < mask.size(); ++i) {
      const int64_t unit = part.units.unit(static_cast<int64_t>(i));
      if (unit < 0) continue;
      // A consumer's slice may be gone through its own group; its filter's fate shows elsewhere.
      int& state = kept[static_cast<size_t>(unit)];
      state = std::max(state, mask[i]);
    }
  }
  return kept;
}

}  // namespace espalier::prune::testing
