// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/runs.h>

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/json.h>
#include <espalier/core/error.h>
#include <espalier/core/file_set.h>
#include <espalier/core/io.h>
#include <espalier/experiments/csv.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/report/reproduce.h>
#include <espalier/experiments/report/sources.h>
#include <espalier/experiments/report/variants.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/run/run_json.h>

namespace espalier::experiments::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kMostBytes = int64_t{1} << 28;

std::string text_setting(const Json& settings, const char* name) {
  const Json value = settings.value(name, Json());
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::string layer_of_weight(std::string name) {
  constexpr std::string_view kEnd = ".weight";
  if (name.ends_with(kEnd)) name.resize(name.size() - kEnd.size());
  return name;
}

std::vector<RunLayer> timed_layers(const Json& timing) {
  std::vector<RunLayer> out;
  for (const Json& layer : timing.value("layers", Json::array())) {
    out.push_back({.name = layer.at("name").get<std::string>(),
                   .density = layer.at("density").get<double>(),
                   .milliseconds = layer.at("milliseconds").get<double>(),
                   .milliseconds_dense = layer.at("milliseconds_dense").get<double>(),
                   .kernel = layer.at("kernel").get<std::string>(),
                   .reason = layer.at("reason").get<std::string>()});
  }
  return out;
}

std::vector<RunLayer> counted_layers(const fs::path& model_file) {
  std::vector<RunLayer> out;
  const Network network = load_network(model_file);
  for (const nn::NamedParameter& weight : nn::prunable_parameters(*network.module)) {
    const auto total = static_cast<double>(weight.parameter->numel());
    out.push_back({.name = layer_of_weight(weight.name),
                   .density = static_cast<double>(weight.parameter->nnz()) / total});
  }
  return out;
}

// Figures are those of run.json, curves and layers those of the files beside it. One that is
// missing is not shown: recorded runs have no weights.
void check_files(const RunRecord& record) {
  for (const char* name : {kModelFile, kMetricsFile, kMetricsTable}) {
    if (!fs::exists(record.path / name)) continue;
    const std::string wrong = wrong_beside_record(record.run, record.path, name);
    ESPALIER_CHECK(wrong.empty(),
                   IoError,
                   "run: ",
                   (record.path / name).string(),
                   " ",
                   wrong,
                   ". Bring it back; the command that trained it makes a model again from its "
                   "checkpoint");
  }
}

ReportRun read_folder(const fs::path& path) {
  const RunRecord record = read_run(path);
  check_files(record);
  ReportRun out;
  out.folder = path;
  out.settings = record.run.at("settings");
  out.machine = record.run.value("machine", Json::object());
  out.finished = record.run.value("status", Json()) == "finished";
  out.error = text_setting(record.run, "error");
  out.metrics = record.metrics;
  out.model = text_setting(out.settings, "model");
  out.data = text_setting(out.settings, "data");
  out.method = text_setting(out.settings, "prune");
  if (out.method.empty()) {
    out.method = text_setting(out.settings, "mask-from").empty() ? "dense" : "mask-from";
  }
  const RunSources sources = sources_of(path, out.settings);
  out.sources = sources.words;
  out.sparsity_asked = sources.sparsity_of_masks;
  if (const Json asked = out.settings.value("sparsity", Json()); asked.is_number()) {
    out.sparsity_asked = asked.get<double>();
  }
  if (const Json seed = out.settings.value("seed", Json()); seed.is_number_integer()) {
    out.seed = seed.get<int64_t>();
  }
  const Json results = record.run.value("results", Json::object());
  for (const std::string& name : figure_names()) {
    const Json value = results.value(name, Json());
    if (value.is_number()) out.figures[name] = value.get<double>();
  }
  if (fs::exists(path / kModelFile)) out.model_file = path / kModelFile;
  try {
    const Json timing = record.run.value("timing", Json::object());
    out.layers = timed_layers(timing);
    if (!out.layers.empty()) {
      out.timing = fmt::format("training step, batch {}", timing.at("batch").get<int64_t>());
    }
  } catch (const Json::exception& error) {
    throw IoError(cat(
        "run: ", path.string(), "/run.json: bad timing: ", espalier::detail::json_words(error)));
  }
  if (out.layers.empty() && !out.model_file.empty()) out.layers = counted_layers(out.model_file);
  out.command = train_command(out.settings);
  const fs::path plain = path.lexically_normal();
  out.name = (plain.has_filename() ? plain : plain.parent_path()).filename().string();
  if (out.name.empty() || out.name == ".") out.name = path.string();
  return out;
}

// Records of a table by the names in its first line.
class Table {
 public:
  explicit Table(const fs::path& path) : path_(path) {
    const std::vector<uint8_t> bytes = read_file(path, "report", kMostBytes);
    records_ = parse_csv({bytes.begin(), bytes.end()}, path.string());
  }
  size_t rows() const { return records_.empty() ? 0 : records_.size() - 1; }
  const std::string& text(size_t row, const std::string& column) const {
    const auto& names = records_.front();
    const auto at = std::find(names.begin(), names.end(), column);
    ESPALIER_CHECK(
        at != names.end(), IoError, "report: ", path_.string(), " has no column ", column);
    return records_[row + 1][static_cast<size_t>(at - names.begin())];
  }
  bool has(const std::string& column) const {
    return !records_.empty() &&
           std::find(records_.front().begin(), records_.front().end(), column) !=
               records_.front().end();
  }
  std::optional<double> number(size_t row, const std::string& column) const {
    const std::string& field = text(row, column);
    if (field.empty()) return std::nullopt;
    double value = 0.0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    ESPALIER_CHECK(error == std::errc{} && end == field.data() + field.size(),
                   IoError,
                   "report: ",
                   path_.string(),
                   ", row ",
                   row + 2,
                   ": ",
                   column,
                   " expects a number, got '",
                   field,
                   "'");
    return value;
  }

 private:
  fs::path path_;
  std::vector<std::vector<std::string>> records_;
};

// What makes two rows the same run.
std::string row_key(const Table& table, size_t row) {
  std::string out;
  for (const char* column : {"model", "data", "method", "variant", "sparsity_asked", "seed"}) {
    out += table.text(row, column) + '\n';
  }
  return out;
}

// A run folder that a table names, from here or from where the table lies (ROOT/experiments/NAME).
fs::path folder_of_row(const fs::path& results, const std::string& named) {
  if (named.empty()) return {};
  const fs::path root = results.lexically_normal().parent_path().parent_path();
  for (const fs::path& path : {fs::path(named), root / fs::path(named).filename()}) {
    std::error_code ignored;
    if (fs::exists(path / kRunFile, ignored)) return path;
  }
  return {};
}

// Of experiments that time the network as it is used, with removed channels cut out, that network's
// figures count.
void take_deployed(ReportRun& run, const Table& table, size_t row) {
  if (!table.has("speed_macs_executed")) return;
  const auto speed = table.number(row, "speed_images_per_second");
  const auto macs = table.number(row, "speed_macs_executed");
  if (!speed || !macs) return;
  run.figures["images_per_second"] = *speed;
  if (table.has("speed_images_per_second_dense")) {
    const auto dense = table.number(row, "speed_images_per_second_dense");
    if (dense && *dense > 0.0) run.figures["speedup"] = *speed / *dense;
  }
  run.figures["macs_executed"] = *macs;
  run.deployed = true;
}

ReportRun read_row(const Table& table, size_t row, const fs::path& results) {
  const fs::path folder = folder_of_row(results, table.text(row, "run"));
  ReportRun out = folder.empty() ? ReportRun{} : read_folder(folder);
  if (folder.empty()) {
    out.settings = Json::object();
    out.machine = Json::object();
    out.command = experiment_command(results);
  }
  out.model = table.text(row, "model");
  out.data = table.text(row, "data");
  out.method = table.text(row, "method");
  out.variant = table.text(row, "variant");
  out.sparsity_asked = table.number(row, "sparsity_asked").value_or(0.0);
  out.seed = static_cast<int64_t>(table.number(row, "seed").value_or(0.0));
  out.error = table.text(row, "error");
  out.compared = !table.has("compared") || table.text(row, "compared") != "0";
  out.finished = out.error.empty();
  for (const std::string& name : figure_names()) {
    if (!table.has(name)) continue;
    if (const auto value = table.number(row, name)) out.figures[name] = *value;
  }
  take_deployed(out, table, row);
  out.name = fmt::format("{} {} {}", out.model, out.data, out.method);
  if (!out.variant.empty()) out.name += " " + out.variant;
  out.name += fmt::format(" {:.4g} seed {}", out.sparsity_asked, out.seed);
  return out;
}

std::vector<ReportRun> read_experiment(const fs::path& results) {
  check_file_set(results);
  const Table table(results / kRunsTable);
  std::map<std::string, std::vector<RunLayer>> layers;
  if (fs::exists(results / kLayersTable)) {
    const Table densities(results / kLayersTable);
    for (size_t row = 0; row < densities.rows(); ++row) {
      layers[row_key(densities, row)].push_back(
          {.name = layer_of_weight(densities.text(row, "layer")),
           .density = densities.number(row, "density").value_or(1.0)});
    }
  }
  std::vector<ReportRun> out;
  for (size_t row = 0; row < table.rows(); ++row) {
    ReportRun run = read_row(table, row, results);
    if (run.layers.empty()) {
      if (const auto known = layers.find(row_key(table, row)); known != layers.end()) {
        run.layers = known->second;
      }
    }
    out.push_back(std::move(run));
  }
  return out;
}

std::vector<ReportRun> read_found(const fs::path& folder) {
  if (fs::exists(folder / kRunsTable)) return read_experiment(folder);
  std::vector<ReportRun> out;
  out.push_back(read_folder(folder));
  return out;
}

// Of many runs one that is broken, or goes away just now, doesn't hide the others.
std::vector<ReportRun> try_to_read(const fs::path& folder) {
  try {
    return read_found(folder);
  } catch (const std::exception& error) {
    ReportRun bad;
    bad.name = folder.filename().string();
    bad.error = error.what();
    bad.unreadable = true;
    bad.settings = Json::object();
    bad.machine = Json::object();
    std::vector<ReportRun> out;
    out.push_back(std::move(bad));
    return out;
  }
}

fs::path place_of(const ReportRun& run) {
  std::error_code error;
  return run.folder.empty() ? fs::path() : fs::weakly_canonical(run.folder, error);
}

bool is_taken(const std::vector<ReportRun>& runs, const std::string& name) {
  return std::any_of(
      runs.begin(), runs.end(), [&](const ReportRun& other) { return other.name == name; });
}

}  // namespace

const std::vector<std::string>& figure_names() {
  static const std::vector<std::string> kNames = {"accuracy",
                                                  "loss",
                                                  "sparsity",
                                                  "params",
                                                  "params_nonzero",
                                                  "macs_dense",
                                                  "macs_effective",
                                                  "macs_executed",
                                                  "images_per_second",
                                                  "seconds"};
  return kNames;
}

std::optional<double> ReportRun::figure(const std::string& name) const {
  if (const auto known = figures.find(name); known != figures.end()) return known->second;
  if (metrics.empty()) return std::nullopt;
  const EpochMetrics& last = metrics.back();
  if (name == "accuracy") return last.test_accuracy;
  if (name == "loss") return last.test_loss;
  if (name == "sparsity") return last.sparsity;
  if (name == "seconds") return last.seconds;
  return std::nullopt;
}

std::vector<fs::path> find_runs(const fs::path& path) {
  // What may not be looked at is none.
  const auto holds = [](const fs::path& folder) {
    std::error_code ignored;
    return fs::exists(folder / kRunFile, ignored) || fs::exists(folder / kRunsTable, ignored);
  };
  if (holds(path)) return {path};
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored) && holds(entry->path())) out.push_back(entry->path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<ReportRun> read_runs(const std::vector<fs::path>& paths) {
  std::vector<ReportRun> runs;
  std::set<fs::path> known;
  for (const fs::path& path : paths) {
    const std::vector<fs::path> found = find_runs(path);
    ESPALIER_CHECK(!found.empty() || !fs::is_directory(path),
                   IoError,
                   "report: there are no runs in ",
                   path.string(),
                   " (folders with run.json or ",
                   kRunsTable,
                   ", there or one below)");
    if (found.empty()) read_run(path);  // tells what is wrong
    for (const fs::path& folder : found) {
      std::vector<ReportRun> more = folder == path ? read_found(folder) : try_to_read(folder);
      if (more.size() == 1 && found.size() == 1 && is_taken(runs, more.front().name)) {
        more.front().name = path.string();
      }
      // Within one table a run may have two names, and stand on two sides.
      std::erase_if(more, [&](const ReportRun& run) { return known.contains(place_of(run)); });
      for (ReportRun& run : more) {
        if (!run.folder.empty()) known.insert(place_of(run));
        runs.push_back(std::move(run));
      }
    }
  }
  std::set<std::string> taken;
  for (ReportRun& run : runs) {
    const std::string plain = run.name;
    for (int count = 2; !taken.insert(run.name).second; ++count) {
      run.name = fmt::format("{} ({})", plain, count);
    }
  }
  name_variants(runs);
  // A folder may have any bytes for its name; pages and tables are UTF-8.
  for (ReportRun& run : runs) {
    for (std::string* text : {&run.name, &run.error}) {
      *text = espalier::detail::printable_line(*text);
    }
  }
  return runs;
}

}  // namespace espalier::experiments::report
