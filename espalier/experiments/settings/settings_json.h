// SPDX-License-Identifier: Apache-2.0
/// Settings as JSON, for run.json and for reports.
#pragma once

#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <espalier/core/options/table.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments {

/// Values as JSON of their kind (numbers, booleans, texts), in the order of `options`; an empty one
/// that is no text is null.
nlohmann::ordered_json to_json(const std::vector<Option>& options, const OptionTexts& texts);
/// The same of a pruning method's settings.
nlohmann::ordered_json to_json(const prune::MethodChoice& choice);
/// What a run records of its settings where nothing was given, without a method.
nlohmann::ordered_json default_train_json();

}  // namespace espalier::experiments
