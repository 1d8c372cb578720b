// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/epoch_metrics.h>

#include <algorithm>
#include <limits>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/json.h>
#include <espalier/core/io.h>
#include <espalier/experiments/csv.h>
#include <espalier/experiments/run/run_files.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kMostMetricsBytes = int64_t{1} << 28;
constexpr espalier::detail::JsonLimits kMetricsLimits = {.depth = 2, .bytes = 1 << 16};

// Of recorded runs, which keep the table alone.
std::vector<EpochMetrics> read_metrics_csv(const fs::path& path) {
  const std::vector<uint8_t> bytes = read_file(path, "metrics", kMostMetricsBytes);
  const auto records = parse_csv({bytes.begin(), bytes.end()}, path.string());
  std::string lines;
  for (size_t i = 1; i < records.size(); ++i) {
    std::string line;
    for (size_t c = 0; c < records[i].size(); ++c) {
      line += fmt::format("{}{}:{}", c == 0 ? "" : ",", Json(records[0][c]).dump(), records[i][c]);
    }
    lines += "{" + line + "}\n";
  }
  return parse_metrics(lines, path.string());
}

}  // namespace

std::string metrics_lines(const std::vector<EpochMetrics>& metrics) {
  std::string out;
  for (const EpochMetrics& line : metrics) out += line.to_json().dump() + "\n";
  return out;
}

std::string metrics_csv(const std::vector<EpochMetrics>& metrics) {
  std::string out;
  const Json header = (metrics.empty() ? EpochMetrics{} : metrics.front()).to_json();
  for (const auto& [name, value] : header.items()) out += (out.empty() ? "" : ",") + name;
  out += '\n';
  for (const EpochMetrics& line : metrics) {
    std::string row;
    const Json json = line.to_json();
    for (const auto& [name, value] : json.items()) row += (row.empty() ? "" : ",") + value.dump();
    out += row + '\n';
  }
  return out;
}

std::vector<EpochMetrics> parse_metrics(const std::string& text, const std::string& where) {
  std::vector<EpochMetrics> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    const std::string at = cat("metrics: ", where, ", line ", out.size() + 1);
    const auto json = espalier::detail::parse_json<Json>(line, at, kMetricsLimits);
    out.push_back(EpochMetrics::from_json(json, cat(where, ", line ", out.size() + 1)));
    begin = end + 1;
  }
  return out;
}

std::vector<EpochMetrics> read_metrics(const fs::path& folder) {
  if (const fs::path lines = folder / kMetricsFile; fs::exists(lines)) {
    const std::vector<uint8_t> bytes = read_file(lines, "metrics", kMostMetricsBytes);
    return parse_metrics({bytes.begin(), bytes.end()}, lines.string());
  }
  const fs::path table = folder / kMetricsTable;
  return fs::exists(table) ? read_metrics_csv(table) : std::vector<EpochMetrics>{};
}

Json EpochMetrics::to_json() const {
  Json out = {{"epoch", epoch},
              {"step", step},
              {"lr", lr},
              {"train_loss", train_loss},
              {"train_accuracy", train_accuracy},
              {"test_loss", test_loss},
              {"test_accuracy", test_accuracy}};
  if (validation_loss) out["validation_loss"] = *validation_loss;
  if (validation_accuracy) out["validation_accuracy"] = *validation_accuracy;
  out["sparsity"] = sparsity;
  out["seconds"] = seconds;
  return out;
}

EpochMetrics EpochMetrics::from_json(const Json& json, const std::string& where) {
  const auto whole = [&](const char* key) {
    const auto value = json.is_object() && json.contains(key)
                           ? espalier::detail::json_whole(json.at(key))
                           : std::nullopt;
    ESPALIER_CHECK(
        value.has_value(), IoError, "metrics: ", where, " has no whole number '", key, "'");
    return *value;
  };
  const auto number = [&](const char* key) -> const Json& {
    ESPALIER_CHECK(json.is_object() && json.contains(key) && json.at(key).is_number(),
                   IoError,
                   "metrics: ",
                   where,
                   " has no number '",
                   key,
                   "'");
    return json.at(key);
  };
  // JSON has no NaN: a loss that overflowed is written as null.
  const auto real = [&](const char* key) {
    const bool none = json.is_object() && json.contains(key) && json.at(key).is_null();
    return none ? std::numeric_limits<double>::quiet_NaN() : number(key).get<double>();
  };
  const auto real_if_there = [&](const char* key) {
    const bool there = json.is_object() && json.contains(key);
    return there ? std::optional(real(key)) : std::nullopt;
  };
  return {.epoch = whole("epoch"),
          .step = whole("step"),
          .lr = real("lr"),
          .train_loss = real("train_loss"),
          .train_accuracy = real("train_accuracy"),
          .test_loss = real("test_loss"),
          .test_accuracy = real("test_accuracy"),
          .validation_loss = real_if_there("validation_loss"),
          .validation_accuracy = real_if_there("validation_accuracy"),
          .sparsity = real("sparsity"),
          .seconds = real("seconds")};
}

}  // namespace espalier::experiments
