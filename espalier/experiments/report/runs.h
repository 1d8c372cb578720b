// SPDX-License-Identifier: Apache-2.0
/// What a report is made of: runs read from run folders, from folders that hold run folders, and
/// from the tables of experiments, all in one form. Nothing here draws.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <espalier/experiments/run/run_folder.h>

namespace espalier::experiments::report {

/// One layer of a run.
struct RunLayer {
  std::string name;                               ///< dotted, of the layer: without `.weight`
  double density = 1.0;                           ///< kept share of the weight
  std::optional<double> milliseconds = {};        ///< of the kernel that runs, when it was timed
  std::optional<double> milliseconds_dense = {};  ///< of the dense kernel
  std::string kernel = {};                        ///< which runs
  std::string reason = {};                        ///< why
};

/// One run as the report shows it.
struct ReportRun {
  std::string name;  ///< unique in a report
  std::string model;
  std::string data;
  std::string method;   ///< `dense` without one
  std::string variant;  ///< what tells runs of one method apart, besides sparsity and seed
  double sparsity_asked = 0.0;
  int64_t seed = 0;
  bool finished = false;
  std::string error;        ///< of a run that failed, or that can't be read
  bool unreadable = false;  ///< nothing but the name is known, and why in `error`
  /// Those of `figure_names` that are known; `speedup` too, where the dense network was timed in
  /// turn with this one: images/s as a multiple of its.
  std::map<std::string, double> figures;
  /// Speed and executed MACs are those of a compiled plan in batches, removed channels cut out.
  bool deployed = false;
  bool compared = true;  ///< false: only there for others to start from, so in no chart
  std::vector<EpochMetrics> metrics;
  std::vector<RunLayer> layers;     ///< empty when not known
  std::string timing;               ///< what was timed: `training step, batch 128`; may be empty
  nlohmann::ordered_json settings;  ///< of run.json; an empty object when not known
  /// Where `weights` and `mask-from` come from, in words: `trained`, `snip 0.9`.
  std::map<std::string, std::string> sources;
  nlohmann::ordered_json machine;    ///< of run.json
  std::filesystem::path folder;      ///< of the run; empty when it is not there any more
  std::filesystem::path model_file;  ///< weights and masks; empty when there are none
  std::string command;               ///< that makes the run; may be empty

  /// A figure, if known. Of an unfinished run the newest epoch's.
  std::optional<double> figure(const std::string& name) const;
};

/// Figures of a run, in the order of tables: `accuracy`, `loss`, `sparsity`, ..
const std::vector<std::string>& figure_names();

/// Runs of a command line's paths, in their order. A path is a run folder; a folder of an
/// experiment's results (runs.csv, perhaps layers.csv), whose run folders are read too where they
/// still are; or a folder in which such folders lie. Layers that run.json does not have are counted
/// in the masks of model.safetensors. A run that came with an earlier path already is left out.
/// Throws IoError for a path without any run and for bad files, among them a model and metrics that
/// are not those that run.json tells; among the runs of a folder one that can't be read is
/// `unreadable`.
std::vector<ReportRun> read_runs(const std::vector<std::filesystem::path>& paths);

/// The run folders and experiment results at `path`, none if there are none: what read_runs reads.
std::vector<std::filesystem::path> find_runs(const std::filesystem::path& path);

}  // namespace espalier::experiments::report
