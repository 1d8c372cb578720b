// SPDX-License-Identifier: Apache-2.0
/// Parameter groups by name: other rates and decays for the parameters that a pattern names.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/nn/train/optimizer.h>

namespace espalier::nn {

/// What the parameters of a group have of their own.
struct GroupSettings {
  double lr_scale = 1.0;                    ///< times the optimizer's learning rate
  std::optional<double> weight_decay = {};  ///< nothing: that of all others
};

/// A pattern, and what the parameters have whose names it fits.
struct GroupRule {
  std::string pattern;          ///< as file names in a shell: `*` also across dots, `?`, `[abc]`
  GroupSettings settings = {};  ///< of these parameters
};

/// True when a dotted name fits a pattern as in `GroupRule`.
bool fits_pattern(std::string_view name, const std::string& pattern);

/// A group for each rule, with the parameters of `model` that fit its pattern and none before it,
/// and a last one of all others, with `weight_decay`:
///
///     parameter_groups(model, {{"*.bias", {.weight_decay = 0.0}}, {"fc.*", {.lr_scale = 0.1}}})
///
/// Throws ValueError for a pattern that fits no parameter, naming those nearest to it, and for one
/// whose parameters all belong to patterns before it.
std::vector<ParameterGroup> parameter_groups(Module& model,
                                             const std::vector<GroupRule>& rules,
                                             double weight_decay = 0.0);

}  // namespace espalier::nn
