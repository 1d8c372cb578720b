// SPDX-License-Identifier: Apache-2.0
/// Figures for people: aligned tables, and the results of a network as text.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <espalier/core/shape.h>

namespace espalier::experiments {

/// Columns as wide as their widest cell, two spaces between; numbers (by their first character) to
/// the right. The first row is the heading.
std::string text_table(const std::vector<std::vector<std::string>>& rows);

/// `269,722`.
std::string grouped(int64_t number);
/// `40.81 M` for 40,813,184.
std::string short_count(double number);
/// `40.81 MB` for 40,813,184.
std::string bytes_text(int64_t bytes);

/// The sizes of a shape, for JSON.
std::vector<int64_t> sizes_of(const Shape& shape);

/// The keys of `eval --json` as `name  value` lines.
std::string figures_text(const nlohmann::ordered_json& figures);

}  // namespace espalier::experiments
