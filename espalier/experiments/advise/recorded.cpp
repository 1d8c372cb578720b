// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/advise/recorded.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include <espalier/core/error.h>
#include <espalier/experiments/csv.h>

namespace espalier::experiments::advise {
namespace {

using Row = std::map<std::string, std::string>;

/// Names and causes as the page's head tells them. The page is made again once all methods stand.
const std::map<std::string, std::string>& runs_taken_back() {
  static const std::map<std::string, std::string> list = {
      {"sparsegpt", "batch norm was measured again on images that were not augmented"},
      {"taylor", "it scored with running statistics"},
      {"fisher", "it scored with running statistics"},
      {"ssl", "its penalty was ten times too weak"},
  };
  return list;
}

// Not std::stod, which follows the program's locale.
std::optional<double> number(const Row& row, const std::string& column) {
  const std::string& text = row.at(column);
  double value = 0.0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  return end.ec == std::errc() && !text.empty() ? std::optional(value) : std::nullopt;
}

std::vector<Row> rows_of(std::string_view name) {
  const std::string where = std::string(name) + ".csv";
  const auto records = parse_csv(std::string(recorded_csv(name)), where);
  std::vector<Row> out;
  for (size_t i = 1; i < records.size(); ++i) {
    Row row;
    for (size_t c = 0; c < records[0].size(); ++c) row[records[0][c]] = records[i][c];
    if (row.at("error").empty()) out.push_back(std::move(row));
  }
  return out;
}

const std::vector<Row>& table(const std::string& name) {
  static const std::map<std::string, std::vector<Row>> tables = {
      {"methods", rows_of("methods")},
      {"patterns", rows_of("patterns")},
      {"one_shot_iterative", rows_of("one_shot_iterative")}};
  return tables.at(name);
}

std::optional<double> mean_of(const std::vector<const Row*>& rows, const std::string& column) {
  double sum = 0.0;
  for (const Row* row : rows) {
    const auto value = number(*row, column);
    if (!value) return std::nullopt;
    sum += *value;
  }
  return rows.empty() ? std::nullopt : std::optional(sum / static_cast<double>(rows.size()));
}

std::optional<double> ratio(std::optional<double> above, std::optional<double> below) {
  return above && below && *below > 0.0 ? std::optional(*above / *below) : std::nullopt;
}

std::vector<const Row*> dense_of(const std::string& name, const Row& like) {
  std::vector<const Row*> out;
  for (const Row& row : table(name)) {
    if (row.at("method") == "dense" && row.at("variant").empty() &&
        row.at("model") == like.at("model") && row.at("data") == like.at("data")) {
      out.push_back(&row);
    }
  }
  return out;
}

Quote quote_of(const std::string& name, const std::vector<const Row*>& seeds) {
  const Row& first = *seeds.front();
  const auto mean = [&](const char* column) { return mean_of(seeds, column); };
  return {.page = name + ".md",
          .model = first.at("model"),
          .data = first.at("data"),
          .method = first.at("method"),
          .variant = first.at("variant"),
          .asked = number(first, "sparsity_asked").value_or(0.0),
          .removed = mean("sparsity").value_or(0.0),
          .accuracy = 100.0 * mean("accuracy").value_or(0.0),
          .dense = 100.0 * mean_of(dense_of(name, first), "accuracy").value_or(0.0),
          .seeds = static_cast<int>(seeds.size()),
          .macs = ratio(mean("speed_macs_executed"), mean("macs_dense")),
          .batches = ratio(mean("speed_images_per_second"), mean("speed_images_per_second_dense")),
          .one = ratio(mean("speed_one_image_ms_dense"), mean("speed_one_image_ms"))};
}

/// The cells of a page, in its order, of which `wanted` holds.
template <class Wanted>
void add_quotes(std::vector<Quote>& out, const std::string& name, Wanted wanted) {
  std::vector<std::vector<const Row*>> cells;
  for (const Row& row : table(name)) {
    if (!wanted(row)) continue;
    const auto same = std::ranges::find_if(cells, [&](const std::vector<const Row*>& cell) {
      return std::ranges::all_of(
          std::vector<std::string>{"model", "data", "variant", "sparsity_asked"},
          [&](const std::string& column) { return cell.front()->at(column) == row.at(column); });
    });
    if (same == cells.end()) {
      cells.push_back({&row});
    } else {
      same->push_back(&row);
    }
  }
  for (const auto& cell : cells) out.push_back(quote_of(name, cell));
}

bool ranks(const Quote& quote) {
  return quote.page != "one_shot_iterative.md";
}

}  // namespace

std::string words_of(const Quote& quote) {
  std::string out = quote.model;
  if (quote.page != "methods.md") out += ", " + quote.variant;
  out += quote.removed > 0.0
             ? fmt::format(", {:.1f} % of the weights removed", 100.0 * quote.removed)
             : fmt::format(", asked for {:.4g}", quote.asked);
  out += fmt::format(": {:.2f} % right (dense {:.2f} %)", quote.accuracy, quote.dense);
  if (quote.macs) out += fmt::format(", {:.1f} % of the MACs", 100.0 * *quote.macs);
  if (quote.batches) out += fmt::format(", {:.2f} x as fast in batches", *quote.batches);
  if (quote.one) out += fmt::format(", {:.2f} x one by one", *quote.one);
  return out;
}

std::vector<Quote> quotes_of(const std::string& method,
                             const std::string& pattern,
                             bool by_design,
                             const std::string& model,
                             double removed) {
  std::vector<Quote> all;
  const auto of_method = [&](const Row& row) { return row.at("method") == method; };
  if (by_design && taken_back(method).empty()) add_quotes(all, "methods", of_method);
  if (!by_design) {
    add_quotes(all, "patterns", [&](const Row& row) {
      return of_method(row) && row.at("variant") == pattern;
    });
  }
  if (pattern == "unstructured") add_quotes(all, "one_shot_iterative", of_method);
  const bool is_recorded = std::ranges::find(all, model, &Quote::model) != all.end();
  std::vector<Quote> out;
  for (const Quote& quote : all) {
    const auto is_nearer = [&](const Quote& other) {
      return other.page == quote.page && other.model == quote.model &&
             std::abs(other.asked - removed) < std::abs(quote.asked - removed);
    };
    if (is_recorded && quote.model != model) continue;
    if (std::ranges::none_of(all, is_nearer)) out.push_back(quote);
  }
  return out;
}

std::string taken_back(const std::string& method) {
  const auto found = runs_taken_back().find(method);
  return found == runs_taken_back().end() ? "" : found->second;
}

std::optional<double> worst_loss(const std::vector<Quote>& quotes) {
  std::optional<double> out;
  for (const Quote& quote : quotes) {
    if (!ranks(quote)) continue;
    out = std::max(out.value_or(quote.dense - quote.accuracy), quote.dense - quote.accuracy);
  }
  return out;
}

std::optional<double> mean_gain(const std::vector<Quote>& quotes) {
  double sum = 0.0;
  int count = 0;
  for (const Quote& quote : quotes) {
    if (!ranks(quote)) continue;
    sum += quote.accuracy - quote.dense;
    ++count;
  }
  return count == 0 ? std::nullopt : std::optional(sum / count);
}

}  // namespace espalier::experiments::advise
