// SPDX-License-Identifier: Apache-2.0
/// The one runner of all experiments: makes every planned run that is missing with the training of
/// `train`, and collects what came out. It has no training loop of its own.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <espalier/experiments/comparisons/experiment.h>
#include <espalier/experiments/comparisons/speeds.h>
#include <espalier/experiments/console.h>

namespace espalier::experiments::comparisons {

/// What is left of one prunable weight.
struct LayerDensity {
  std::string name;
  int64_t total = 0;
  int64_t kept = 0;
  double density() const {
    return total == 0 ? 1.0 : static_cast<double>(kept) / static_cast<double>(total);
  }
};

/// One run of an experiment with its result, or its error.
struct RunRow {
  std::string model;
  std::string data;
  std::string method;
  std::string variant;
  double sparsity_asked = 0.0;
  int64_t seed = 0;
  bool compared = true;
  std::string folder;   ///< of the run
  std::string error;    ///< empty: the run is finished, and what follows is set
  std::string machine;  ///< that made it: processor and threads

  double accuracy = 0.0;  ///< on the test split, a fraction
  double loss = 0.0;
  double sparsity = 0.0;  ///< reached, over the prunable weights
  int64_t params = 0;
  int64_t params_nonzero = 0;
  int64_t macs_dense = 0;            ///< of one image, as below
  int64_t macs_effective = 0;        ///< of weights that are left
  int64_t macs_executed = 0;         ///< what the kernels did
  double images_per_second = 0.0;    ///< of the evaluation, loading included
  double seconds_per_epoch = 0.0;    ///< of training, with the evaluation at its end; 0: no epochs
  std::vector<LayerDensity> layers;  ///< in the order of the parameters
  std::optional<RunSpeed> speed;     ///< where the experiment asks for it

  bool finished() const { return error.empty(); }
  /// Layers with nothing left.
  int64_t collapsed() const;
  /// `model`, `data`, `method`, `variant` or `sparsity` (as asked) as text. Throws ValueError for
  /// another name.
  std::string column(const std::string& name) const;
};

/// Where runs are kept and with what machine they are made.
struct RunnerOptions {
  std::filesystem::path folder = "runs";  ///< run folders lie in it, named by what they compute
  std::map<std::string, std::string> settings =
      {};  ///< of `train`, for all runs: threads, data-root
  /// Time the network of every run, once, in rounds of so many seconds; none: no timing.
  std::optional<double> speed_round_seconds = {};
};

/// Makes all runs of the plan, those that are finished already excepted, and returns a row for each
/// in its order. A run that fails is told to the console and in its row, as are runs that need it;
/// the others go on. A run that another process is making is waited for. Throws Interrupted when a
/// stop is asked for, ValueError or IoError before the first run when a data set is missing or a
/// setting is wrong.
std::vector<RunRow> run_plan(const Plan& plan, const RunnerOptions& options, Console& console);

/// A run of a plan before it is made.
struct RunPlace {
  std::string title;
  std::string folder;  ///< empty where it is not known before another run is made
  std::string status;  ///< `new`, `goes on`, `is finished`, `after another run`
};

/// Where the runs of a plan lie and which are there, in its order. Writes nothing. Throws as
/// run_plan before its first run.
std::vector<RunPlace> places_of_runs(const Plan& plan,
                                     const RunnerOptions& options,
                                     Console& console);

}  // namespace espalier::experiments::comparisons
