// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/parameter_groups.h>

#include <algorithm>

#include <fnmatch.h>

#include <espalier/core/detail/nearest_name.h>
#include <espalier/core/detail/printable.h>

namespace espalier::nn {
namespace {

// The parameters that differ from the pattern by the fewest characters.
std::string nearest_to(const std::string& pattern, const std::vector<NamedParameter>& all) {
  std::vector<std::string> names;
  for (const NamedParameter& p : all) names.push_back(p.name);
  std::ranges::stable_sort(names, {}, [&](const std::string& name) {
    return espalier::detail::edit_distance(pattern, name);
  });
  return names.empty() ? "the model has no parameters"
                       : "the nearest are " + espalier::detail::some_of(names);
}

}  // namespace

bool fits_pattern(std::string_view name, const std::string& pattern) {
  return ::fnmatch(pattern.c_str(), std::string(name).c_str(), 0) == 0;
}

std::vector<ParameterGroup> parameter_groups(Module& model,
                                             const std::vector<GroupRule>& rules,
                                             double weight_decay) {
  const std::vector<NamedParameter> all = model.named_parameters();
  std::vector<NamedParameter> left = all;
  std::vector<ParameterGroup> groups;
  for (const GroupRule& rule : rules) {
    const auto fits = [&](const NamedParameter& p) { return fits_pattern(p.name, rule.pattern); };
    ESPALIER_CHECK(std::ranges::any_of(all, fits),
                   ValueError,
                   "parameter_groups: the pattern '",
                   rule.pattern,
                   "' fits no parameter; ",
                   nearest_to(rule.pattern, all));
    ParameterGroup group{.lr_scale = rule.settings.lr_scale,
                         .weight_decay = rule.settings.weight_decay.value_or(weight_decay)};
    std::ranges::copy_if(left, std::back_inserter(group.parameters), fits);
    ESPALIER_CHECK(!group.parameters.empty(),
                   ValueError,
                   "parameter_groups: all that the pattern '",
                   rule.pattern,
                   "' fits belongs to patterns before it; put it in front of them");
    std::erase_if(left, fits);
    groups.push_back(std::move(group));
  }
  if (!left.empty()) {
    groups.push_back({.parameters = std::move(left), .weight_decay = weight_decay});
  }
  return groups;
}

}  // namespace espalier::nn
