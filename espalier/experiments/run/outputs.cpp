// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/outputs.h>

#include <algorithm>
#include <cstring>

#include <nlohmann/json.hpp>

#include <espalier/core/detail/json.h>
#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/run/run_json.h>
#include <espalier/nn/compress/edc_file.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int64_t kStart = 8192;
constexpr int64_t kMostHeader = int64_t{1} << 26;

std::string text_of(const std::vector<uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

bool is_safetensors(const std::string& start) {
  if (start.size() < 10 || start[8] != '{') return false;
  uint64_t length = 0;
  std::memcpy(&length, start.data(), 8);
  return length >= 2 && length <= uint64_t{kMostHeader};
}

// Other is what has no header that can be read.
FileKind kind_of_safetensors(const fs::path& path, const std::string& start) {
  uint64_t length = 0;
  std::memcpy(&length, start.data(), 8);
  const std::string head = text_of(read_start(path, "output", static_cast<int64_t>(8 + length)));
  Json header;
  try {
    header = espalier::detail::parse_json<Json>(
        std::string_view(head).substr(8), "header", {.depth = 3, .bytes = kMostHeader});
  } catch (const IoError&) {
    return FileKind::Other;
  }
  const Json metadata = header.is_object() ? header.value("__metadata__", Json()) : Json();
  if (!metadata.is_object()) return FileKind::Weights;
  if (metadata.contains("espalier_plan")) return FileKind::Plan;
  if (metadata.contains("metrics")) return FileKind::Checkpoint;
  if (metadata.contains("architecture")) return FileKind::Model;
  return metadata.contains("method") ? FileKind::Scores : FileKind::Weights;
}

std::string in_words(FileKind kind, const std::string& start) {
  if (kind != FileKind::Other) return std::string(words_for(kind));
  return cat("another file, which begins with '", espalier::detail::excerpt(start, 24), "'");
}

void check_kind(const std::string& verb, const Output& output) {
  const PathKind there = path_kind(output.path);
  ESPALIER_CHECK(there != PathKind::Folder,
                 IoError,
                 verb,
                 ": ",
                 output.option,
                 " ",
                 output.path.string(),
                 ": expected a file, got a folder");
  if (there != PathKind::File || fs::file_size(output.path) == 0) return;
  const FileKind kind = file_kind(output.path);
  ESPALIER_CHECK(kind == output.kind,
                 ValueError,
                 verb,
                 ": ",
                 output.option,
                 " ",
                 output.path.string(),
                 ": expected ",
                 words_for(output.kind),
                 " to replace, or no file, got ",
                 in_words(kind, text_of(read_start(output.path, "output", 24))),
                 ". It is not overwritten; choose another name");
}

bool is_file_or_nothing(const fs::path& path) {
  const PathKind kind = path_kind(path);
  return kind == PathKind::File || kind == PathKind::Missing;
}

// Where it is written to, behind all links.
fs::path real_place(const fs::path& path) {
  std::error_code error;
  fs::path at = path;
  for (int links = 0; fs::is_symlink(at, error) && links < 40; ++links) {
    const fs::path to = fs::read_symlink(at, error);
    at = to.is_absolute() ? to : at.parent_path() / to;
  }
  const fs::path folder =
      fs::weakly_canonical(at.has_parent_path() ? at.parent_path() : ".", error);
  return (error ? at.parent_path() : folder) / at.filename();
}

// One that train writes, or that run.json tells. A run.json that can't be read tells none.
bool belongs_to_run(const fs::path& place) {
  const fs::path record = place.parent_path() / kRunFile;
  const std::string name = place.filename().string();
  std::error_code error;
  if (!fs::is_regular_file(record, error)) return false;
  if (name == kRunFile) return true;
  if (std::find(kTrainedFiles.begin(), kTrainedFiles.end(), name) != kTrainedFiles.end()) {
    return true;
  }
  try {
    const nlohmann::ordered_json run = read_run_json(record);
    return run.contains("files") && run.at("files").contains(name);
  } catch (const IoError&) {
    return false;
  }
}

void check_no_run(const std::string& verb, const Output& output) {
  if (!is_file_or_nothing(output.path)) return;
  const fs::path place = real_place(output.path);
  ESPALIER_CHECK(!belongs_to_run(place),
                 ValueError,
                 verb,
                 ": ",
                 output.option,
                 " ",
                 output.path.string(),
                 " is a file of the run in ",
                 place.parent_path().string(),
                 ", which train alone writes: expected another name or folder. It is not "
                 "overwritten");
}

bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code error;
  if (fs::equivalent(a, b, error) && !error) return path_kind(a) == PathKind::File;
  // Two names of a file that isn't there yet.
  return a.lexically_normal() == b.lexically_normal() && path_kind(a) == PathKind::Missing;
}

}  // namespace

std::string_view words_for(FileKind kind) {
  switch (kind) {
    case FileKind::Model:
      return "a network's weights with its architecture";
    case FileKind::Weights:
      return "weights (safetensors)";
    case FileKind::Checkpoint:
      return "the checkpoint of a run";
    case FileKind::Plan:
      return "a compiled plan";
    case FileKind::Scores:
      return "scores of a method";
    case FileKind::Compressed:
      return "a compressed network (.edc)";
    case FileKind::ReportPage:
      return "a report's page (HTML)";
    case FileKind::ReportTable:
      return "a report's table (CSV)";
    case FileKind::ExperimentPage:
      return "an experiment's page (Markdown)";
    case FileKind::ExperimentTable:
      return "an experiment's table of runs (CSV)";
    case FileKind::LayerTable:
      return "an experiment's table of layers (CSV)";
    case FileKind::MetricsTable:
      return "the metrics of a run (CSV)";
    case FileKind::Sensitivity:
      return "a sensitivity (JSON)";
    case FileKind::Svg:
      return "a picture (SVG)";
    case FileKind::Png:
      return "a picture (PNG)";
    case FileKind::Other:
      return "another file";
  }
  return "";
}

FileKind file_kind(const fs::path& path) {
  const std::string start = text_of(read_start(path, "output", kStart));
  if (nn::compress::is_edc(path)) return FileKind::Compressed;
  if (is_safetensors(start)) return kind_of_safetensors(path, start);
  const auto begins = [&](std::string_view with) { return start.starts_with(with); };
  const auto holds = [&](std::string_view part) { return start.find(part) != start.npos; };
  if (begins("\x89PNG\r\n\x1a\n")) return FileKind::Png;
  if (begins("<!doctype html>") && holds("<title>Espalier report")) return FileKind::ReportPage;
  if ((begins("<?xml") || begins("<svg")) && holds("<svg")) return FileKind::Svg;
  if (begins("# ") && holds("The survey: arXiv")) return FileKind::ExperimentPage;
  if (begins("run,finished,model,data,method,")) return FileKind::ReportTable;
  if (begins("{\n  \"sensitivity\"")) return FileKind::Sensitivity;
  if (begins("epoch,step,lr,")) return FileKind::MetricsTable;
  if (begins("model,data,method,") && holds(",seed,sparsity,accuracy,")) {
    return FileKind::ExperimentTable;
  }
  if (begins("model,data,method,") && holds(",seed,layer,")) return FileKind::LayerTable;
  return FileKind::Other;
}

void check_outputs(const std::string& verb,
                   const std::vector<Output>& outputs,
                   const std::vector<fs::path>& inputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Output& output = outputs[i];
    if (output.path.empty()) continue;
    for (const fs::path& input : inputs) {
      ESPALIER_CHECK(input.empty() || !same_file(output.path, input),
                     ValueError,
                     verb,
                     ": ",
                     output.option,
                     " ",
                     output.path.string(),
                     " is what is read (",
                     input.string(),
                     "): expected another file. It is not overwritten; choose another name");
    }
    for (size_t j = 0; j < i; ++j) {
      ESPALIER_CHECK(outputs[j].path.empty() || !same_file(output.path, outputs[j].path),
                     ValueError,
                     verb,
                     ": ",
                     output.option,
                     " and ",
                     outputs[j].option,
                     " both name ",
                     output.path.string(),
                     ": expected two files");
    }
    check_kind(verb, output);
    check_no_run(verb, output);
  }
}

fs::path table_beside(const fs::path& page) {
  if (page.empty() || !is_file_or_nothing(page)) return {};
  return fs::path(page).replace_extension(".csv");
}

}  // namespace espalier::experiments
