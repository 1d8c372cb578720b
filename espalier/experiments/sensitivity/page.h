// SPDX-License-Identifier: Apache-2.0
/// A sensitivity as JSON, as text and as a page with a chart.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include <espalier/experiments/sensitivity/sensitivity.h>

namespace espalier::experiments {

/// `accuracy`, `floor`, `sparsities`, `layers` (name, weights, accuracy, budget),
/// `budget_accuracy`, `budget_sparsity`, `evaluations`.
nlohmann::ordered_json sensitivity_json(const Sensitivity& found);

/// A row a layer, a column a sparsity, and the budgets.
std::string sensitivity_text(const Sensitivity& found);

/// One HTML page that loads nothing. `title` tells the network and the data.
std::string sensitivity_page(const Sensitivity& found, const std::string& title);

}  // namespace espalier::experiments
