// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/figures.h>

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/printable.h>

namespace espalier::experiments {
namespace {

bool looks_numeric(const std::string& cell) {
  return !cell.empty() && (std::isdigit(static_cast<unsigned char>(cell[0])) != 0 || cell == "-");
}

// Characters, not bytes: continuation bytes of UTF-8 take no column.
size_t columns(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string text_table(const std::vector<std::vector<std::string>>& cells) {
  std::vector<std::vector<std::string>> rows = cells;
  for (auto& row : rows) {
    for (std::string& cell : row) cell = espalier::detail::printable_line(cell);
  }
  std::vector<size_t> width;
  std::vector<bool> numeric;
  for (size_t r = 0; r < rows.size(); ++r) {
    width.resize(std::max(width.size(), rows[r].size()));
    numeric.resize(width.size(), true);
    for (size_t c = 0; c < rows[r].size(); ++c) {
      width[c] = std::max(width[c], columns(rows[r][c]));
      if (r > 0 && !looks_numeric(rows[r][c])) numeric[c] = false;
    }
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string gap(width[c] - columns(row[c]), ' ');
      line += (c > 0 ? "  " : "") + (numeric[c] ? gap + row[c] : row[c] + gap);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  const bool negative = digits.front() == '-';  // the least number has no absolute value
  if (negative) digits.erase(0, 1);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return negative ? "-" + digits : digits;
}

std::string bytes_text(int64_t bytes) {
  const std::string text = short_count(static_cast<double>(bytes));
  return text + (text.find(' ') == std::string::npos ? " B" : "B");
}

std::string short_count(double number) {
  constexpr std::array<const char*, 5> kUnits = {"", " k", " M", " G", " T"};
  size_t unit = 0;
  while (std::abs(number) >= 1000.0 && unit + 1 < kUnits.size()) {
    number /= 1000.0;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f}", number) : fmt::format("{:.2f}{}", number, kUnits[unit]);
}

std::vector<int64_t> sizes_of(const Shape& shape) {
  return {shape.begin(), shape.end()};
}

std::string figures_text(const nlohmann::ordered_json& figures) {
  const auto number = [&](const char* key) { return figures.at(key).get<double>(); };
  const auto count = [&](const char* key) { return figures.at(key).get<int64_t>(); };
  const bool text = figures.contains("perplexity");
  return fmt::format(
      "accuracy    {:.2f} %  ({} of {})\n"
      "loss        {:.4f}{}\n"
      "sparsity    {:.4f} of the prunable weights\n"
      "parameters  {}  ({} left)\n"
      "MACs        {} dense, {} effective, {} executed, per {}\n"
      "speed       {:.0f} {}/s, loading included\n",
      100.0 * number("accuracy"),
      count("correct"),
      count("total"),
      number("loss"),
      text ? fmt::format("  (perplexity {:.4f} a token)", number("perplexity")) : "",
      number("sparsity"),
      grouped(count("params")),
      grouped(count("params_nonzero")),
      short_count(number("macs_dense")),
      short_count(number("macs_effective")),
      short_count(number("macs_executed")),
      text ? "text" : "image",
      number(text ? "tokens_per_second" : "images_per_second"),
      text ? "tokens" : "images");
}

}  // namespace espalier::experiments
