// SPDX-License-Identifier: Apache-2.0
/// Advice as text of at most 100 columns, and as JSON.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include <espalier/experiments/advise/ranking.h>

namespace espalier::experiments::advise {

/// The first `most` methods with reasons, figures and commands; what was left out, and why; notes;
/// and which answers would narrow it down.
std::string advice_text(const Question& question, const Advice& advice, size_t most);

/// All of it: `answers`, `methods` (`name`, `pattern`, `points`, `reasons`, `use_when`, `not_when`,
/// `recorded`, `taken_back`, `commands`), `left_out` (`method`, `reason`, `section`), `notes`,
/// `open`.
nlohmann::ordered_json advice_json(const Question& question, const Advice& advice);

}  // namespace espalier::experiments::advise
