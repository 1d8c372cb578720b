// SPDX-License-Identifier: Apache-2.0
/// What an experiment leaves behind: a CSV with a line a run, a CSV with a line a layer, and a
/// Markdown page with means over seeds beside what the survey says.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <espalier/experiments/comparisons/experiment.h>
#include <espalier/experiments/comparisons/findings.h>
#include <espalier/experiments/comparisons/runner.h>

namespace espalier::experiments::comparisons {

/// A finished experiment.
class ExperimentPage {
 public:
  ExperimentPage(const Experiment& experiment, Scale scale, std::vector<RunRow> rows);

  /// A line a run in the order of the plan, the failed ones with their error, without figures.
  std::string csv() const;
  /// A line for every prunable weight of every finished run: `total`, `kept`, `density`.
  std::string layers_csv() const;
  /// The page; `command` is what made it.
  std::string markdown(const std::string& command) const;
  /// Findings and failures: `experiment`, `preset`, `runs`, `failed`, `findings`.
  nlohmann::ordered_json json() const;

  const std::vector<Finding>& findings() const { return findings_; }
  /// How many runs failed.
  int64_t failed() const;

 private:
  std::string results_section() const;
  std::string speeds_section() const;
  std::string findings_section() const;
  std::string layers_section() const;
  std::string failures_section() const;

  const Experiment& experiment_;
  Scale scale_;
  std::vector<RunRow> rows_;
  std::vector<Finding> findings_;
};

}  // namespace espalier::experiments::comparisons
