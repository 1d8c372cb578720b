// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/run_folder.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <limits>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/descriptor.h>
#include <espalier/core/detail/json.h>
#include <espalier/core/detail/new_folders.h>
#include <espalier/core/detail/printable.h>
#include <espalier/core/error.h>
#include <espalier/core/finite.h>
#include <espalier/core/io.h>
#include <espalier/core/random.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/interrupt.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/run/checkpoint_files.h>
#include <espalier/experiments/run/checkpoint_seconds.h>
#include <espalier/experiments/run/run_json.h>
#include <espalier/experiments/settings/train_settings.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kMetricsKey = "metrics";

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// A name that no folder can have, in contrast to what a file system refuses: a disk that is full, a
// folder that may not be written to.
bool is_bad_name(const std::error_code& error) {
  for (const std::errc reason : {std::errc::filename_too_long,
                                 std::errc::not_a_directory,
                                 std::errc::file_exists,
                                 std::errc::too_many_symbolic_link_levels,
                                 std::errc::invalid_argument}) {
    if (error == reason) return true;
  }
  return !error;
}

void check_made(const fs::path& path, const std::error_code& error) {
  std::error_code is_folder;
  if (fs::is_directory(path, is_folder)) return;
  const std::string text = cat("run: can't create the folder ",
                               path.string(),
                               error ? ": " + error.message() : ": there is a file of that name");
  if (is_bad_name(error)) throw IoError(text);
  throw WriteError(text);
}

}  // namespace

RunFolder::RunFolder(fs::path path,
                     const Json& settings,
                     const Json& defaults,
                     const std::function<void()>& busy,
                     const RunGround& ground)
    : path_(std::move(path)) {
  espalier::detail::NewFolders folders(path_);
  check_made(path_, folders.error());
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ESPALIER_CHECK(lock_ >= 0,
                 IoError,
                 "run: can't open the folder ",
                 path_.string(),
                 ": ",
                 espalier::detail::system_reason());
  // The system lets go of the lock when the process ends, however it ends.
  bool held = ::flock(lock_, LOCK_EX | LOCK_NB) == 0;
  if (!held && busy) {
    busy();
    while (!(held = ::flock(lock_, LOCK_EX | LOCK_NB) == 0) && errno == EWOULDBLOCK &&
           !is_interrupted()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  if (!held) {
    ::close(lock_);
    stop_if_interrupted(cat("while waiting for ", path_.string()));
    throw ValueError(cat("run: another process is at work in ", path_.string()));
  }
  try {
    remove_temporary_files(path_);
    while_writing([&] { finish_swap(path_); });
    if (fs::exists(path_ / kRunFile)) {
      run_ = read_run_json(path_ / kRunFile);
      const std::string different =
          differences_of_settings(run_.value("settings", Json::object()), settings, defaults);
      ESPALIER_CHECK(different.empty() || !has_results(),
                     ValueError,
                     "run: ",
                     path_.string(),
                     " holds a run with other settings. ",
                     different,
                     ". Choose another --out, or remove the folder");
      state_ = State::Unfinished;
      const bool may_lose = has_results();
      if (may_lose) check_data(ground);
      // One that has nothing to lose is begun anew, on this machine.
      const bool moved = (!ground.simd.empty() && newest_simd(run_) != ground.simd) ||
                         !data_differences(run_, ground).empty();
      const Json status = run_.value("status", Json());
      if (!different.empty() || (moved && !may_lose)) {
        begin(settings, ground);
      } else if (status == "finished") {
        check_model();
      }
      if (state_ == State::Unfinished && may_lose) check_simd(ground);
      if (state_ == State::Unfinished && (status == "failed" || status == "interrupted")) {
        run_["status"] = "running";
        run_.erase("error");
        while_writing([&] { write(); });
      }
    } else {
      for (const char* name : kTrainedFiles) {
        // Left by a run that was stopped before it began; what they hold is read and checked.
        const bool beforehand = std::ranges::find(kBeforehandFiles, std::string_view(name)) !=
                                std::ranges::end(kBeforehandFiles);
        ESPALIER_CHECK(beforehand || !fs::exists(path_ / name),
                       ValueError,
                       "run: ",
                       path_.string(),
                       " has a ",
                       name,
                       " but no run.json; it is not overwritten. Choose another --out");
      }
      begin(settings, ground);
    }
    folders.keep();
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

RunFolder::~RunFolder() {
  ::close(lock_);
}

Json RunFolder::results() const {
  Json out = run_.value("results", Json());
  if (out.is_object() && out.contains("loss") && out.at("loss").is_null()) {
    out["loss"] = std::numeric_limits<double>::quiet_NaN();
  }
  return out;
}

bool RunFolder::has_results() const {
  if (run_.contains("results")) return true;
  for (const char* name : kTrainedFiles) {
    if (fs::exists(path_ / name)) return true;
  }
  return false;
}

void RunFolder::check_data(const RunGround& ground) const {
  const std::string different = data_differences(run_, ground);
  ESPALIER_CHECK(different.empty(),
                 ValueError,
                 "run: ",
                 (path_ / kRunFile).string(),
                 " is of a run on other data. ",
                 different,
                 ". Bring the data back, or choose another --out");
}

void RunFolder::check_simd(const RunGround& ground) {
  const std::string then = newest_simd(run_);
  if (ground.simd.empty() || then.empty() || then == ground.simd) return;
  ESPALIER_CHECK(ground.allow_other_simd,
                 ValueError,
                 "run: ",
                 path_.string(),
                 " was made with ",
                 then,
                 ", and this machine has ",
                 ground.simd,
                 ": the rest of the run would have other last bits. Continue it there, force ",
                 then,
                 " by ESPALIER_SIMD where the machine has it, or accept that with "
                 "--allow-other-simd");
  run_["continued_with_simd"].push_back(ground.simd);
  while_writing([&] { write(); });
}

void RunFolder::begin(const Json& settings, const RunGround& ground) {
  run_ = {{"version", version()},
          {"status", "running"},
          {"started", utc_now()},
          {"machine", machine_json()},
          {"settings", settings}};
  if (!ground.data.is_null()) run_["data"] = ground.data;
  state_ = State::Fresh;
  while_writing([&] { write(); });
}

void RunFolder::write() const {
  write_run_json(path_ / kRunFile, run_);
}

void RunFolder::note(const std::string& text) {
  notes_.push_back(text);
  run_["notes"].push_back(utc_now() + ": " + espalier::detail::printable(text));
  while_writing([&] { write(); });
}

// Of a run that is marked as finished.
void RunFolder::check_model() {
  std::string trouble;
  if (fs::exists(model_path())) {
    try {
      check_finite(load_safetensors(model_path()).tensors, model_path().string());
      const std::string wrong = wrong_beside_record(run_, path_, kModelFile);
      if (wrong.empty()) {
        state_ = State::Finished;
        return;
      }
      trouble = cat(kModelFile, " ", wrong);
    } catch (const IoError& error) {
      trouble = cat(kModelFile, " can't be read (", error.what(), ")");
    }
  } else {
    trouble = cat(kModelFile, " is missing");
  }
  ESPALIER_CHECK(fs::exists(path_ / kStateFile) || fs::exists(path_ / kPreviousFile),
                 IoError,
                 "run: ",
                 path_.string(),
                 " holds a finished run, but its ",
                 trouble,
                 ", and there is no checkpoint to make it again from. Remove the folder, or choose "
                 "another --out, to train anew");
  note(trouble + "; it is made again from the checkpoint");
}

std::optional<SafetensorsFile> RunFolder::load_checkpoint() {
  std::string trouble;
  for (const char* name : {kStateFile, kPreviousFile}) {
    const fs::path file = path_ / name;
    if (!fs::exists(file)) continue;
    try {
      SafetensorsFile checkpoint = load_safetensors(file);
      check_run_checkpoint(checkpoint, file.string());
      checkpoint_metrics(checkpoint);
      if (const std::string wrong = wrong_beside_record(run_, path_, name); !wrong.empty()) {
        trouble += cat(trouble.empty() ? "" : "; ", name, " ", wrong);
        continue;
      }
      newest_is_whole_ = name == kStateFile;
      if (!newest_is_whole_) {
        note(cat(trouble.empty() ? cat(kStateFile, " is missing") : trouble,
                 "; the checkpoint kept beside it, ",
                 kPreviousFile,
                 ", is taken"));
      }
      return checkpoint;
    } catch (const IoError& error) {
      trouble += cat(trouble.empty() ? "" : "; ", name, " can't be read (", error.what(), ")");
    }
  }
  ESPALIER_CHECK(trouble.empty(),
                 IoError,
                 "run: ",
                 path_.string(),
                 " can't be continued: ",
                 trouble,
                 ". Remove the folder, or choose another --out, to train anew");
  return std::nullopt;
}

void RunFolder::save_checkpoint(SafetensorsFile checkpoint,
                                const std::vector<EpochMetrics>& metrics) {
  checkpoint.metadata[kMetricsKey] = metrics_lines(metrics);
  while_writing([&] {
    if (run_.contains("files")) {  // of a finished run that is made again; they change from here on
      run_.erase("files");
      run_["status"] = "running";
      write();
    }
    replace_checkpoint(path_, checkpoint, newest_is_whole_);
  });
  newest_is_whole_ = true;
  write_metrics(metrics);
}

std::vector<EpochMetrics> RunFolder::checkpoint_metrics(const SafetensorsFile& checkpoint) {
  const auto lines = checkpoint.metadata.find(kMetricsKey);
  ESPALIER_CHECK(
      lines != checkpoint.metadata.end(), IoError, "run: ", kStateFile, " holds no metrics");
  return parse_metrics(lines->second, kStateFile);
}

void RunFolder::write_metrics(const std::vector<EpochMetrics>& metrics) const {
  while_writing([&] {
    write_file(path_ / kMetricsFile, metrics_lines(metrics));
    write_file(path_ / kMetricsTable, metrics_csv(metrics));
  });
}

void RunFolder::fail(const std::string& error) {
  run_["status"] = "failed";
  run_["error"] = espalier::detail::printable(error);  // it may name a file of any bytes
  try {
    write();
  } catch (const Error&) {  // the disk is full, as the error itself may say, which matters more
  }
}

void RunFolder::interrupt() {
  run_["status"] = "interrupted";
  while_writing([&] { write(); });
}

void RunFolder::discard() {
  std::error_code ignored;
  fs::remove(path_ / kRunFile, ignored);
  fs::remove(path_, ignored);  // only if nothing else is in it
}

void RunFolder::finish(const Json& results, const Json& timing) {
  run_["status"] = "finished";
  run_.erase("error");
  run_["finished"] = utc_now();
  run_["results"] = results;
  if (!timing.is_null()) run_["timing"] = timing;
  while_writing([&] {
    run_["files"] = Json::object();
    for (const char* name : kRecordedFiles) {
      if (fs::exists(path_ / name)) run_["files"][name] = file_record(path_ / name);
    }
    write();
  });
  state_ = State::Finished;
}

RunRecord read_run(const fs::path& path) {
  return {.path = path, .run = read_run_json(path / kRunFile), .metrics = read_metrics(path)};
}

// An option that the folder doesn't tell is younger than the run, which went by its default.
std::string differences_of_settings(const Json& here, const Json& asked, const Json& defaults) {
  constexpr size_t kMost = 8;
  std::vector<std::string> out;
  const auto compare = [&](const std::string& name, const Json& a, const Json& b) {
    if (a == b || is_incidental(name)) return;
    out.push_back(fmt::format("{}: the folder has {}, asked for {}",
                              name,
                              a.is_null() ? "nothing" : a.dump(),
                              b.is_null() ? "nothing" : b.dump()));
  };
  for (const auto& [name, value] : asked.items()) {
    compare(name, here.value(name, defaults.value(name, Json())), value);
  }
  for (const auto& [name, value] : here.items()) {
    if (!asked.contains(name)) compare(name, value, Json());
  }
  return espalier::detail::some_of(out, kMost, "; ");
}

std::string run_id(const Json& settings, const Json& defaults) {
  Json chosen = Json::object();
  for (const auto& [name, value] : settings.items()) {
    if (!is_incidental(name) && value != defaults.value(name, Json())) chosen[name] = value;
  }
  const auto text = [&](const char* name) { return settings.value(name, std::string()); };
  std::string out = text("model") + "-" + text("data");
  for (char& c : out) {
    if (c == '/' || c == ':') c = '-';
  }
  if (!text("prune").empty()) out += "-" + text("prune");
  return out + fmt::format("-{:08x}", static_cast<uint32_t>(stream_id(chosen.dump())));
}

}  // namespace espalier::experiments
