// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run_folder.h>

#include <ctime>
#include <limits>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>

#include <espalier/core/detail/json.h>
#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/core/random.h>
#include <espalier/experiments/csv.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/options.h>
#include <espalier/experiments/run_json.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kRunFile = "run.json";
constexpr const char* kStateFile = "state.safetensors";
constexpr const char* kMetricsFile = "metrics.jsonl";
constexpr const char* kMetricsTable = "metrics.csv";
constexpr const char* kMetricsKey = "metrics";
constexpr int64_t kMostMetricsBytes = int64_t{1} << 28;
constexpr espalier::detail::JsonLimits kMetricsLimits = {.depth = 2, .bytes = 1 << 16};

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// Every setting that decides what a run computes and differs, as `name: here X, asked Y`.
// An option that the folder doesn't tell is younger than the run, which went by its default.
std::string differences(const Json& here, const Json& asked, const Json& defaults) {
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

std::string metrics_lines(const std::vector<EpochMetrics>& metrics) {
  std::string out;
  for (const EpochMetrics& line : metrics) out += line.to_json().dump() + "\n";
  return out;
}

std::vector<EpochMetrics> parse_metrics(const std::string& text, const std::string& where) {
  std::vector<EpochMetrics> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    const std::string at = cat("metrics: ", where, ", line ", out.size() + 1);
    const auto json = espalier::detail::parse_json<Json>(line, at, kMetricsLimits);
    out.push_back(EpochMetrics::from_json(json, cat(where, ", line ", out.size() + 1)));
    begin = end + 1;
  }
  return out;
}

std::string metrics_csv(const std::vector<EpochMetrics>& metrics) {
  std::string out;
  const Json header = EpochMetrics{}.to_json();
  for (const auto& [name, value] : header.items()) out += (out.empty() ? "" : ",") + name;
  out += '\n';
  for (const EpochMetrics& line : metrics) {
    std::string row;
    const Json json = line.to_json();
    for (const auto& [name, value] : json.items()) row += (row.empty() ? "" : ",") + value.dump();
    out += row + '\n';
  }
  return out;
}

// Of recorded runs, which keep the table alone.
std::vector<EpochMetrics> read_metrics_csv(const fs::path& path) {
  const std::vector<uint8_t> bytes = read_file(path, "metrics", kMostMetricsBytes);
  const auto records = parse_csv({bytes.begin(), bytes.end()}, path.string());
  std::string lines;
  for (size_t i = 1; i < records.size(); ++i) {
    std::string line;
    for (size_t c = 0; c < records[i].size(); ++c) {
      line += fmt::format("{}{}:{}", c == 0 ? "" : ",", Json(records[0][c]).dump(), records[i][c]);
    }
    lines += "{" + line + "}\n";
  }
  return parse_metrics(lines, path.string());
}

}  // namespace

Json EpochMetrics::to_json() const {
  return {{"epoch", epoch},
          {"step", step},
          {"lr", lr},
          {"train_loss", train_loss},
          {"train_accuracy", train_accuracy},
          {"test_loss", test_loss},
          {"test_accuracy", test_accuracy},
          {"sparsity", sparsity},
          {"seconds", seconds}};
}

EpochMetrics EpochMetrics::from_json(const Json& json, const std::string& where) {
  const auto whole = [&](const char* key) {
    const auto value = json.is_object() && json.contains(key)
                           ? espalier::detail::json_whole(json.at(key))
                           : std::nullopt;
    ESPALIER_CHECK(
        value.has_value(), IoError, "metrics: ", where, " has no whole number '", key, "'");
    return *value;
  };
  const auto number = [&](const char* key) -> const Json& {
    ESPALIER_CHECK(json.is_object() && json.contains(key) && json.at(key).is_number(),
                   IoError,
                   "metrics: ",
                   where,
                   " has no number '",
                   key,
                   "'");
    return json.at(key);
  };
  // JSON has no NaN: a loss that overflowed is written as null.
  const auto real = [&](const char* key) {
    const bool none = json.is_object() && json.contains(key) && json.at(key).is_null();
    return none ? std::numeric_limits<double>::quiet_NaN() : number(key).get<double>();
  };
  return {.epoch = whole("epoch"),
          .step = whole("step"),
          .lr = real("lr"),
          .train_loss = real("train_loss"),
          .train_accuracy = real("train_accuracy"),
          .test_loss = real("test_loss"),
          .test_accuracy = real("test_accuracy"),
          .sparsity = real("sparsity"),
          .seconds = real("seconds")};
}

RunFolder::RunFolder(fs::path path,
                     const Json& settings,
                     const Json& defaults,
                     const std::function<void()>& busy)
    : path_(std::move(path)) {
  std::error_code error, is_folder;
  fs::create_directories(path_, error);
  ESPALIER_CHECK(fs::is_directory(path_, is_folder),
                 IoError,
                 "run: can't create the folder ",
                 path_.string(),
                 error ? ": " + error.message() : ": there is a file of that name");
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // The system lets go of the lock when the process ends, however it ends.
  bool held = lock_ >= 0 && ::flock(lock_, LOCK_EX | LOCK_NB) == 0;
  if (!held && lock_ >= 0 && busy) {
    busy();
    held = ::flock(lock_, LOCK_EX) == 0;
  }
  if (!held) {
    if (lock_ >= 0) ::close(lock_);
    throw ValueError(cat("run: another process is at work in ", path_.string()));
  }
  try {
    remove_temporary_files(path_);
    if (fs::exists(path_ / kRunFile)) {
      run_ = read_run_json(path_ / kRunFile);
      const std::string different =
          differences(run_.value("settings", Json::object()), settings, defaults);
      ESPALIER_CHECK(different.empty() || !has_results(),
                     ValueError,
                     "run: ",
                     path_.string(),
                     " holds a run with other settings. ",
                     different,
                     ". Choose another --out, or remove the folder");
      const bool finished = run_.value("status", Json()) == "finished" && fs::exists(model_path());
      state_ = finished ? State::Finished : State::Unfinished;
      if (!different.empty()) {
        begin(settings);
      } else if (run_.value("status", Json()) == "failed") {
        run_["status"] = "running";
        run_.erase("error");
        while_writing([&] { write_run_json(); });
      }
    } else {
      for (const char* name : {"model.safetensors", kStateFile, kMetricsFile}) {
        ESPALIER_CHECK(!fs::exists(path_ / name),
                       ValueError,
                       "run: ",
                       path_.string(),
                       " has a ",
                       name,
                       " but no run.json; it is not overwritten. Choose another --out");
      }
      begin(settings);
    }
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
  for (const char* name : {"model.safetensors", kStateFile, kMetricsFile, kMetricsTable}) {
    if (fs::exists(path_ / name)) return true;
  }
  return false;
}

void RunFolder::begin(const Json& settings) {
  run_ = {{"version", version()},
          {"status", "running"},
          {"started", utc_now()},
          {"machine", machine_json()},
          {"settings", settings}};
  state_ = State::Fresh;
  while_writing([&] { write_run_json(); });
}

void RunFolder::write_run_json() const {
  write_file(path_ / kRunFile, run_.dump(2) + "\n");
}

std::optional<SafetensorsFile> RunFolder::load_checkpoint() const {
  if (!fs::exists(path_ / kStateFile)) return std::nullopt;
  return load_safetensors(path_ / kStateFile);
}

void RunFolder::save_checkpoint(SafetensorsFile checkpoint,
                                const std::vector<EpochMetrics>& metrics) {
  checkpoint.metadata[kMetricsKey] = metrics_lines(metrics);
  while_writing([&] { save_safetensors(path_ / kStateFile, checkpoint); });
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
  run_["error"] = error;
  try {
    write_run_json();
  } catch (const Error&) {  // the disk is full, as the error itself may say, which matters more
  }
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
  while_writing([&] { write_run_json(); });
  state_ = State::Finished;
}

RunRecord read_run(const fs::path& path) {
  RunRecord record{.path = path, .run = read_run_json(path / kRunFile), .metrics = {}};
  if (fs::exists(path / kMetricsFile)) {
    const std::vector<uint8_t> bytes = read_file(path / kMetricsFile, "metrics", kMostMetricsBytes);
    record.metrics = parse_metrics({bytes.begin(), bytes.end()}, (path / kMetricsFile).string());
  } else if (fs::exists(path / kMetricsTable)) {
    record.metrics = read_metrics_csv(path / kMetricsTable);
  }
  return record;
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
