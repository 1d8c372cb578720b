// SPDX-License-Identifier: Apache-2.0
/// Runs sorted for charts: panels of one network and data set, in them groups that differ in their
/// seed only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <espalier/experiments/comparisons/statistics.h>
#include <espalier/experiments/report/runs.h>

namespace espalier::experiments::report {

/// Runs that differ in their seed only, one at least. Points into the runs it was made of.
struct RunGroup {
  std::vector<const ReportRun*> runs;

  const ReportRun& first() const { return *runs.front(); }
  /// Method and variant: the name of the line that the group is a point of.
  std::string series() const;
  /// The same with the sparsity asked for: `snip 0.9`.
  std::string label() const;
  /// Mean and deviation of a figure over the finished runs that have it; none if none has.
  std::optional<comparisons::Summary> summary(const std::string& figure) const;
  /// How many of the runs are finished.
  size_t finished() const;
};

/// All groups of one network on one data set.
struct Panel {
  std::string model;
  std::string data;
  std::vector<RunGroup> groups;  ///< by series, dense first; in it by sparsity

  std::string title() const { return model + " on " + data; }
  /// Names of the series, each once.
  std::vector<std::string> series() const;
};

/// The panels of runs, in the order of the runs. Runs that failed, and those that are only there
/// for others to start from, are left out.
std::vector<Panel> panels_of(const std::vector<ReportRun>& runs);

/// Names of all series of all panels, each once, dense first: a series looks the same in every
/// chart, and what all others are compared with in every report.
std::vector<std::string> series_of(const std::vector<Panel>& panels);

}  // namespace espalier::experiments::report
