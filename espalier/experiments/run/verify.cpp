// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/verify.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <set>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/core/finite.h>
#include <espalier/core/io.h>
#include <espalier/core/npz.h>
#include <espalier/core/safetensors.h>
#include <espalier/experiments/csv.h>
#include <espalier/experiments/run/checkpoint_seconds.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/run/run_folder.h>
#include <espalier/experiments/run/run_json.h>
#include <espalier/nn/compress/edc_file.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/plan/plan.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Bytes = std::vector<uint8_t>;
using State = Verified::State;

// Endings of what is looked at in folders that hold no run.
const std::set<std::string> kEndings = {".safetensors", ".plan", ".edc", ".npz", ".npy"};

constexpr std::string_view kNoChecksum =
    ", without a checksum: from elsewhere or of an earlier version";

bool starts_with(const Bytes& bytes, std::string_view start) {
  return bytes.size() >= start.size() && std::memcmp(bytes.data(), start.data(), start.size()) == 0;
}

std::string network_text(const nn::SavedModel& saved) {
  int64_t weights = 0;
  for (const nn::NamedParameter& p : saved.module->named_parameters()) {
    weights += p.parameter->nnz();
  }
  return fmt::format("{}, {} parameters that are kept", saved.name, weights);
}

void read_safetensors(const Bytes& bytes, Verified& out) {
  const std::string path = out.path.string();
  const SafetensorsFile file = parse_safetensors(bytes, path);
  out.state = file.checked ? State::Good : State::Unchecked;
  if (file.metadata.contains("espalier_plan")) {
    out.kind = "plan";
    const nn::InferencePlan plan = nn::InferencePlan::load(out.path);
    out.text = cat("for samples ", plan.input_shape(), ", ", plan.batch(), " at once");
  } else if (file.metadata.contains("architecture")) {
    out.kind = "network";
    out.text = network_text(nn::load_model(out.path));
  } else if (file.metadata.contains("metrics")) {
    out.kind = "checkpoint";
    check_run_checkpoint(file, path);
    out.text = cat("after ", RunFolder::checkpoint_metrics(file).size(), " epochs");
  } else {
    out.kind = "tensors";
    // Scores may be infinite where a weight must stay.
    if (!file.metadata.contains("method")) check_finite(file.tensors, path);
    out.text = cat(file.tensors.size(), " tensors");
  }
  if (!file.checked) out.text += kNoChecksum;
}

void read_arrays(const std::map<std::string, Tensor>& arrays, Verified& out) {
  out.kind = "arrays";
  check_finite(arrays, out.path.string());
  out.text = cat(arrays.size(), " arrays");
}

// By what a file begins with; only where that says nothing, by its name.
void read(Verified& out) {
  const Bytes bytes = read_file(out.path, "verify");
  const std::string ending = out.path.extension().string();
  if (nn::compress::is_edc(out.path)) {
    out.kind = "compressed network";
    out.text = network_text(nn::compress::decode_edc(bytes, out.path.string()));
  } else if (starts_with(bytes, "PK")) {
    read_arrays(load_npz(out.path), out);
  } else if (starts_with(bytes, "\x93NUMPY")) {
    read_arrays({{out.path.filename().string(), load_npy(out.path)}}, out);
    out.state = State::Unchecked;
    out.text += kNoChecksum;
  } else if (ending == ".jsonl" || ending == ".json") {
    out.kind = "JSON";
    out.state = State::Unchecked;
    const std::string text(bytes.begin(), bytes.end());
    const bool lines = ending == ".jsonl";
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = lines ? std::min(text.find('\n', begin), text.size()) : text.size();
      ESPALIER_CHECK(Json::accept(text.begin() + static_cast<long>(begin),
                                  text.begin() + static_cast<long>(end)),
                     IoError,
                     out.path.string(),
                     ": is not valid JSON");
      begin = end + 1;
    }
    // Lines may be none yet: those of a run come with its epochs.
    ESPALIER_CHECK(lines || !text.empty(), IoError, out.path.string(), ": is empty");
    out.text = text.empty() ? "no lines yet" : "valid JSON";
  } else if (ending == ".csv") {
    out.kind = "table";
    out.state = State::Unchecked;
    out.text = cat(parse_csv({bytes.begin(), bytes.end()}, out.path.string()).size(), " lines");
  } else if (ending == ".safetensors" || ending == ".plan" ||
             (bytes.size() > 8 && bytes[8] == '{')) {
    read_safetensors(bytes, out);
  } else {
    throw IoError(cat(out.path.string(),
                      ": is no kind of file that verify knows: safetensors (networks, checkpoints, "
                      "plans), .edc, .npz, .npy, .csv, JSON, run folders"));
  }
}

template <class Work>
void guarded(Verified& out, Work&& work) {
  try {
    std::forward<Work>(work)();
  } catch (const std::bad_alloc&) {
    out.state = State::Damaged;
    out.text = "needs more memory than there is";
  } catch (const std::exception& error) {
    out.state = State::Damaged;
    out.text = error.what();
  }
}

Verified verify_file(const fs::path& path) {
  Verified out{.path = path, .kind = {}, .state = State::Good, .text = {}};
  guarded(out, [&] { read(out); });
  return out;
}

// Whether a process holds the lock of a run's folder; it lets go of it however it ends.
bool is_at_work(const fs::path& folder) {
  const int lock = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0) return false;
  const bool held = ::flock(lock, LOCK_SH | LOCK_NB) != 0;
  ::close(lock);
  return held;
}

// A run folder, whose run.json is there.
class RunCheck {
 public:
  explicit RunCheck(fs::path path) : path_(std::move(path)) {}

  std::vector<Verified> results() {
    Verified whole{.path = path_, .kind = "run", .state = State::Good, .text = {}};
    guarded(whole, [&] { record_ = read_run(path_); });
    for (const char* name : kRecordedFiles) check_file(name);
    check_file(kSwapFile);
    if (whole.state == State::Good) check_all(whole);
    found_.push_back(std::move(whole));
    return std::move(found_);
  }

 private:
  void check_all(Verified& whole) {
    guarded(whole, [&] {
      status_ = record_.run.value("status", std::string("unknown"));
      if (status_ == "running" && !is_at_work(path_)) {
        status_ = "not finished, no process is at work; the same command goes on";
      }
      check_record();
      check_completeness();
      check_metrics();
      check_results();
    });
    if (whole.state != State::Damaged) {
      if (!wrong_.empty()) whole.state = State::Damaged;
      whole.text = wrong_.empty() ? status_ + notes_ : wrong_;
    }
  }

  bool has(const char* name) const { return fs::exists(path_ / name); }
  void wrong(const std::string& text) { wrong_ += (wrong_.empty() ? "" : "; ") + text; }

  // Alone, and beside what run.json tells of it.
  void check_file(const char* name) {
    if (!has(name)) return;
    Verified file = verify_file(path_ / name);
    const Json& run = record_.run;
    const Json files = run.is_object() ? run.value("files", Json::object()) : Json();
    if (files.is_object() && files.contains(name) && file.state != State::Damaged) {
      const std::string wrong = wrong_beside_record(run, path_, name);
      if (wrong.empty()) {
        file.state = State::Good;
        const size_t hint = file.text.find(kNoChecksum);
        if (hint != std::string::npos) file.text.resize(hint);
      } else {
        file.state = State::Damaged;
        file.text = wrong;
      }
    }
    found_.push_back(std::move(file));
  }

  void check_record() {
    const Bytes bytes = read_file(path_ / kRunFile, "verify");
    const RunJsonState record = check_run_json({bytes.begin(), bytes.end()});
    if (record == RunJsonState::Changed) {
      wrong(cat(kRunFile, " is damaged or was changed: its checksum is not that of its text"));
    } else if (record == RunJsonState::Unchecked) {
      notes_ += cat(", ", kRunFile, " without a checksum");
    }
  }

  // Every file that run.json tells. Recorded runs, whose run.json tells of none, keep that and the
  // metrics alone.
  void check_completeness() {
    const Json files = record_.run.value("files", Json::object());
    for (const auto& [name, told] : files.items()) {
      if (!has(name.c_str()) && name != kModelFile) {
        wrong(cat(name, " is missing, which ", kRunFile, " tells"));
      }
    }
    if (files.contains(kModelFile) && !has(kModelFile)) {
      wrong(cat(kModelFile, " is missing; the command that trained it makes it again"));
      return;
    }
    const bool weights = has(kModelFile) || has(kStateFile) || has(kPreviousFile);
    if (!weights) {
      notes_ += ", a record without weights";
    } else if (status_ == "finished" && !has(kModelFile)) {
      wrong(cat(kModelFile, " is missing; the command that trained it makes it again"));
    }
  }

  // A checkpoint holds the lines of the metrics files, which are written after it.
  void check_metrics() {
    const char* newest = has(kStateFile) ? kStateFile : kPreviousFile;
    if (!has(newest) || damaged(newest)) return;
    const SafetensorsFile checkpoint = load_safetensors(path_ / newest);
    const std::string lines = metrics_lines(RunFolder::checkpoint_metrics(checkpoint));
    const std::string here = metrics_lines(record_.metrics);
    if (here == lines) {
      if (has(kMetricsTable) && has(kMetricsFile)) {
        const Bytes table = read_file(path_ / kMetricsTable, "verify");
        if (std::string(table.begin(), table.end()) != metrics_csv(record_.metrics)) {
          wrong(cat(kMetricsTable, " and ", kMetricsFile, " differ"));
        }
      }
    } else if (status_ != "finished" && lines.starts_with(here)) {
      notes_ += ", metrics behind the checkpoint: the command that trains it writes them anew";
    } else {
      wrong(cat("the metrics are not those of ", newest));
    }
  }

  void check_results() {
    if (status_ != "finished") return;
    const Json results = record_.run.value("results", Json::object());
    if (!has(kModelFile) || damaged(kModelFile)) return;
    const nn::SavedModel saved = nn::load_model(path_ / kModelFile);
    const data::ImageShape& image = saved.options.image;
    const nn::LayerCount total =
        nn::count_model(*saved.module, Shape{image.channels, image.height, image.width}).total;
    const auto compare = [&](const char* name, int64_t here) {
      const Json told = results.value(name, Json());
      if (told.is_number() && told != Json(here)) {
        wrong(cat(kRunFile, " tells ", name, " ", told.dump(), ", ", kModelFile, " has ", here));
      }
    };
    compare("params", total.params);
    compare("params_nonzero", total.params_nonzero);
  }

  bool damaged(const char* name) const {
    return std::any_of(found_.begin(), found_.end(), [&](const Verified& file) {
      return file.path == path_ / name && file.state == State::Damaged;
    });
  }

  fs::path path_;
  RunRecord record_;
  std::string status_;
  std::vector<Verified> found_;
  std::string wrong_;
  std::string notes_;
};

std::vector<Verified> verify_folder(const fs::path& path) {
  if (fs::exists(path / kRunFile)) return RunCheck(path).results();
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(path)) entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  std::vector<Verified> out;
  for (const fs::path& entry : entries) {
    std::vector<Verified> found;
    if (fs::is_directory(entry) && !fs::is_symlink(entry)) {
      found = verify_folder(entry);
    } else if (kEndings.contains(entry.extension().string())) {
      found.push_back(verify_file(entry));
    }
    out.insert(out.end(), found.begin(), found.end());
  }
  return out;
}

}  // namespace

std::string name(Verified::State state) {
  return state == State::Good ? "good" : state == State::Unchecked ? "unchecked" : "damaged";
}

std::vector<Verified> verify(const fs::path& path) {
  if (!fs::is_directory(path)) return {verify_file(path)};
  Verified none{.path = path, .kind = "folder", .state = State::Damaged, .text = {}};
  std::vector<Verified> out;
  guarded(none, [&] {
    out = verify_folder(path);
    ESPALIER_CHECK(!out.empty(), IoError, path.string(), ": holds no run and no file to verify");
  });
  if (!none.text.empty()) out.push_back(std::move(none));
  return out;
}

}  // namespace espalier::experiments
