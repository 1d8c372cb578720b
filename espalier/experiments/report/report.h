// SPDX-License-Identifier: Apache-2.0
/// The report of several runs: the same figures as a text table, as CSV, as charts in files, and as
/// one HTML page that needs nothing but itself.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <espalier/experiments/report/groups.h>
#include <espalier/experiments/report/pictures.h>
#include <espalier/experiments/report/runs.h>

namespace espalier::experiments::report {

/// A chart and the name of its file, without an ending.
struct NamedChart {
  std::string name;
  std::string svg;
  std::string table;       ///< its numbers, as the page shows them on demand
  bool secondary = false;  ///< the page shows it on demand
};

/// The runs side by side. A run is compared with the dense one of the same network, data and seed,
/// or the first where there is no dense one.
class Report {
 public:
  explicit Report(std::vector<ReportRun> runs);
  Report(Report&&) = default;
  Report& operator=(Report&&) = default;

  /// A table for the terminal.
  std::string text() const;
  /// A line a run, with raw numbers and all settings.
  std::string csv() const;
  /// A line a group of runs that differ in their seed only: means and standard deviations.
  std::string means_csv() const;

  /// Accuracy against sparsity, images/s and executed MACs.
  std::vector<NamedChart> cost_charts() const;
  /// Density of the layers, a chart for each sparsity.
  std::vector<NamedChart> density_charts() const;
  /// Curves over epochs.
  std::vector<NamedChart> training_charts() const;
  /// Dense and sparse milliseconds of the layers, for each group that was timed.
  std::vector<NamedChart> timing_charts() const;

  const std::vector<ReportRun>& runs() const { return runs_; }
  const std::vector<Panel>& panels() const { return panels_; }
  /// The number of a series' colour.
  size_t style(const std::string& series) const;
  /// Headings and cells of the table of runs, as shown.
  std::vector<std::vector<std::string>> rows() const;
  /// The numbers behind the cells, to sort by; empty for texts and where there is none.
  std::vector<std::vector<std::string>> sort_keys() const;

 private:
  const ReportRun& compared_with(const ReportRun& run) const;

  std::vector<ReportRun> runs_;
  std::vector<Panel> panels_;  ///< points into runs_
  std::vector<std::string> series_;
};

/// Pictures that were made before, by model file: a live page is drawn often.
using PictureCache = std::map<std::string, NetworkPictures>;

/// How a page is made.
struct PageOptions {
  bool live = false;              ///< asks its server for changes
  std::string state = {};         ///< of a live page: what its server's `state` said
  PictureCache* cache = nullptr;  ///< filled and used when given
};

/// One HTML page with all of it.
std::string html_page(const Report& report, const PageOptions& options = {});

}  // namespace espalier::experiments::report
