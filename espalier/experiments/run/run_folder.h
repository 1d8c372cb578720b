// SPDX-License-Identifier: Apache-2.0
/// Run folder: the files of one training, and the rules by which it is created, continued or
/// refused.
///
///   run.json           settings, version, machine, data; when finished, the results, layer times
///   and
///                      the checksums of the other files and of itself
///   metrics.jsonl/csv  a line an epoch
///   state.safetensors  the newest checkpoint: everything needed to continue, in one atomic file
///   state.previous.safetensors
///                      the one before it, for when the newest is damaged; two different files from
///                      the second checkpoint on, at every instant (checkpoint_files.h)
///   model.safetensors  weights and masks of the finished run
///   report.html        made by `report`
///
/// A checkpoint holds the metrics lines too, so that after a kill at any instant the files are
/// written anew from it and agree. A checkpoint that can't be read is replaced by the one before
/// it, and the model of a finished run is made again from its checkpoint; both are told by `notes`
/// and kept in run.json under that name. `status` in run.json is `running`, `finished`,
/// `interrupted`, or `failed` with the `error`; the same command goes on from the newest
/// checkpoint.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <espalier/core/safetensors.h>
#include <espalier/experiments/run/epoch_metrics.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/run/run_ground.h>

namespace espalier::experiments {

/// One folder, held by one process at a time.
class RunFolder {
 public:
  /// Finished means that the model is there that the run came to, by the checksum in run.json.
  enum class State { Fresh, Unfinished, Finished };

  /// Creates the folder, or opens it when run.json is there and tells the same `settings`
  /// (incidental ones may differ; a setting that it doesn't tell is that of `defaults`, so that
  /// runs made before there was such an option go on). A run without checkpoint, metrics and
  /// results has nothing to lose: other settings replace it. Throws ValueError naming every setting
  /// that differs, when another process holds the folder, and when there are files of a run but no
  /// run.json; IoError for a bad run.json, and for a finished run whose model is missing, damaged
  /// or another one when there is no checkpoint either. A folder that it made is gone after an
  /// error. With `busy` another process is waited for, and `busy` is called before the wait.
  /// `ground` must be that of the run too: the data always, the vector instructions while it is
  /// unfinished.
  RunFolder(std::filesystem::path path,
            const nlohmann::ordered_json& settings,
            const nlohmann::ordered_json& defaults,
            const std::function<void()>& busy = {},
            const RunGround& ground = {});
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  State state() const { return state_; }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path model_path() const { return path_ / kModelFile; }
  /// The results that run.json of a finished run holds; a loss that is null there is NaN.
  nlohmann::ordered_json results() const;

  /// What was found missing or damaged since the folder was opened, and what is done about it.
  const std::vector<std::string>& notes() const { return notes_; }

  /// The newest checkpoint that is whole; none for a run that did not get so far. Throws IoError
  /// when there are some and none is.
  std::optional<SafetensorsFile> load_checkpoint();
  /// Replaces the checkpoint, whose predecessor is kept (`replace_checkpoint`), then brings the
  /// metrics files up to date with it. A finished run counts as running from here on.
  void save_checkpoint(SafetensorsFile checkpoint, const std::vector<EpochMetrics>& metrics);
  /// The metrics lines that a checkpoint holds.
  static std::vector<EpochMetrics> checkpoint_metrics(const SafetensorsFile& checkpoint);
  /// Writes metrics.jsonl and metrics.csv anew.
  void write_metrics(const std::vector<EpochMetrics>& metrics) const;
  /// Marks the run as failed, if that can be written; what it has saved stays.
  void fail(const std::string& error);
  /// Marks the run as stopped by its user; the same command goes on.
  void interrupt();
  /// Takes run.json away again, and the folder if it is empty then: of a run that could not begin.
  void discard();
  /// Marks the run as finished, with its results and what `time_layers` measured.
  void finish(const nlohmann::ordered_json& results, const nlohmann::ordered_json& timing = {});

 private:
  bool has_results() const;
  void note(const std::string& text);
  void check_model();
  void begin(const nlohmann::ordered_json& settings, const RunGround& ground);
  void check_data(const RunGround& ground) const;
  void check_simd(const RunGround& ground);
  void write() const;

  std::filesystem::path path_;
  nlohmann::ordered_json run_;
  State state_ = State::Fresh;
  std::vector<std::string> notes_;
  bool newest_is_whole_ = false;  // state.safetensors was read or written here
  int lock_ = -1;
};

/// A run as `report` reads it.
struct RunRecord {
  std::filesystem::path path;
  nlohmann::ordered_json run;         ///< run.json
  std::vector<EpochMetrics> metrics;  ///< of metrics.jsonl, or of metrics.csv where that is alone
};
/// Reads a run folder, finished or not. Throws IoError for a folder that is none and for bad files.
RunRecord read_run(const std::filesystem::path& path);

/// Every setting that decides what a run computes and differs, as `name: the folder has X, asked
/// for Y`; one that `here` doesn't tell is that of `defaults`.
std::string differences_of_settings(const nlohmann::ordered_json& here,
                                    const nlohmann::ordered_json& asked,
                                    const nlohmann::ordered_json& defaults);

/// A short name of settings: model, data, method, and a hash of all that differs from the defaults.
std::string run_id(const nlohmann::ordered_json& settings, const nlohmann::ordered_json& defaults);

}  // namespace espalier::experiments
