// SPDX-License-Identifier: Apache-2.0
/// What verbs may write over: nothing, or a file of the kind that they write. Never an input, never
/// a file of a run.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::experiments {

/// Kinds of files, recognized by their content.
enum class FileKind {
  Model,            ///< weights with the network that they are of
  Weights,          ///< safetensors that tell no network
  Checkpoint,       ///< state.safetensors of a run
  Plan,             ///< a compiled network
  Scores,           ///< what `score` writes
  Compressed,       ///< .edc
  ReportPage,       ///< HTML of `report`
  ReportTable,      ///< CSV of `report`
  ExperimentPage,   ///< Markdown of `experiment run`
  ExperimentTable,  ///< its runs.csv
  LayerTable,       ///< its layers.csv
  MetricsTable,     ///< metrics.csv of a run
  Sensitivity,      ///< JSON of `sensitivity`
  Svg,
  Png,
  Other,  ///< none of these
};

/// "a compiled plan", ..: for errors.
std::string_view words_for(FileKind kind);

/// Tells by its content what the file at `path` is. Throws IoError when it can't be read.
FileKind file_kind(const std::filesystem::path& path);

/// One file that a verb is to write.
struct Output {
  std::string option;          ///< that named it: `--out`
  std::filesystem::path path;  ///< empty: not asked for
  FileKind kind;
};

/// The table that goes beside a page: its name with `.csv`. None beside no page, and beside what is
/// no file, as /dev/null or a pipe. Throws IoError when it can't be told what the page is.
std::filesystem::path table_beside(const std::filesystem::path& page);

/// Throws ValueError when an output is one of `inputs`, by any name or link, or another output, or
/// when a file is there that is of another kind: expected and got; or when it would be, or take the
/// place of, a file of a run: one that the run.json beside it tells, or that has the name of one.
/// What is empty, a device or a pipe may be written to. Throws IoError for a folder.
void check_outputs(const std::string& verb,
                   const std::vector<Output>& outputs,
                   const std::vector<std::filesystem::path>& inputs);

}  // namespace espalier::experiments
