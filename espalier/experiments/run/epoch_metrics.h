// SPDX-License-Identifier: Apache-2.0
/// What a training says of each epoch, and its files: metrics.jsonl and metrics.csv.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace espalier::experiments {

/// One line of metrics.
struct EpochMetrics {
  int64_t epoch = 0;  ///< counts from 1: epochs done; one that a pruner repeats counts again
  int64_t step = 0;   ///< steps done, those done again included
  double lr = 0.0;    ///< of the epoch's last step
  double train_loss = 0.0;
  double train_accuracy = 0.0;
  double test_loss = 0.0;
  double test_accuracy = 0.0;
  /// Of the samples held out of training (--validation); nothing, and no column, without.
  std::optional<double> validation_loss = {};
  std::optional<double> validation_accuracy = {};
  double sparsity = 0.0;
  double seconds = 0.0;  ///< of training and evaluation since the start, without interruptions

  nlohmann::ordered_json to_json() const;
  /// NaN for null, as JSON writes it. Throws IoError naming `where` when a key is missing or no
  /// number.
  static EpochMetrics from_json(const nlohmann::ordered_json& json, const std::string& where);
};

/// metrics.jsonl and metrics.csv, as a run folder has them.
std::string metrics_lines(const std::vector<EpochMetrics>& metrics);
std::string metrics_csv(const std::vector<EpochMetrics>& metrics);

/// Reads what `metrics_lines` wrote. Throws IoError naming `where` and the line.
std::vector<EpochMetrics> parse_metrics(const std::string& text, const std::string& where);
/// Reads metrics.jsonl of a folder, or metrics.csv where that is alone, as in recorded runs; empty
/// where neither is. Throws IoError naming the file and the line.
std::vector<EpochMetrics> read_metrics(const std::filesystem::path& folder);

}  // namespace espalier::experiments
