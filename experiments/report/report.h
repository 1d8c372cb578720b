// SPDX-License-Identifier: Apache-2.0
/// The report of several runs: the same figures as a text table, as CSV, and as one HTML page that
/// needs nothing but itself.
#pragma once

#include <string>
#include <vector>

#include <espalier/experiments/run_folder.h>

namespace espalier::experiments {

/// The runs side by side, the first as what the others are compared with.
class Report {
 public:
  explicit Report(std::vector<RunRecord> runs);

  /// A table for the terminal.
  std::string text() const;
  /// A line a run, with raw numbers and all settings.
  std::string csv() const;
  /// The page.
  std::string html() const;

 private:
  std::vector<std::vector<std::string>> rows() const;

  std::vector<RunRecord> runs_;
  std::vector<std::string> names_;  ///< unique
};

}  // namespace espalier::experiments
