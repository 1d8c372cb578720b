// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/comparisons/runner.h>

#include <algorithm>
#include <new>
#include <ostream>
#include <set>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/interrupt.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/run/run_folder.h>
#include <espalier/experiments/run/training.h>
#include <espalier/experiments/run/training_plan.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::experiments::comparisons {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string model_file(const RunRow& row) {
  return (fs::path(row.folder) / kModelFile).string();
}

TrainSettings train_settings(const PlannedRun& run,
                             const RunnerOptions& options,
                             const std::vector<RunRow>& rows) {
  std::map<std::string, std::string> settings = run.settings;
  for (const auto& [name, text] : options.settings) settings[name] = text;
  if (run.weights_of) settings["weights"] = model_file(rows[*run.weights_of]);
  if (run.mask_of) settings["mask-from"] = model_file(rows[*run.mask_of]);
  return train_table().read("experiment", settings);
}

// What would fail every run alike fails here, before the first.
void check_data(const Plan& plan, const RunnerOptions& options) {
  std::set<std::string> seen;
  for (const PlannedRun& run : plan.runs()) {
    if (!seen.insert(run.data).second) continue;
    PlannedRun alone = run;
    alone.weights_of.reset();
    alone.mask_of.reset();
    const TrainSettings settings = train_settings(alone, options, {});
    open_split(settings.data, data::Split::Train);
    open_split(settings.data, data::Split::Test, settings.test_size);
  }
}

RunRow row_of(const PlannedRun& run) {
  RunRow row;
  row.model = run.model;
  row.data = run.data;
  row.method = run.method;
  row.variant = run.variant;
  row.sparsity_asked = run.sparsity;
  row.seed = run.seed;
  row.compared = run.compared;
  return row;
}

void take_figures(RunRow& row, const Json& figures) {
  row.accuracy = figures.at("accuracy").get<double>();
  row.loss = figures.at("loss").get<double>();
  row.sparsity = figures.at("sparsity").get<double>();
  row.params = figures.at("params").get<int64_t>();
  row.params_nonzero = figures.at("params_nonzero").get<int64_t>();
  row.macs_dense = figures.at("macs_dense").get<int64_t>();
  row.macs_effective = figures.at("macs_effective").get<int64_t>();
  row.macs_executed = figures.at("macs_executed").get<int64_t>();
  row.images_per_second = figures.at("images_per_second").get<double>();
  const RunRecord record = read_run(row.folder);
  const Json machine = record.run.value("machine", Json::object());
  const int64_t threads = machine.value("threads", int64_t{0});
  row.machine = fmt::format("{}, {} thread{}",
                            machine.value("processor", std::string("an unknown processor")),
                            threads,
                            threads == 1 ? "" : "s");
  const auto epochs = record.metrics.size();
  if (epochs > 0) {
    row.seconds_per_epoch = figures.at("seconds").get<double>() / static_cast<double>(epochs);
  }
}

void take_layers(RunRow& row) {
  const Network network = load_network(model_file(row));
  for (const nn::NamedParameter& weight : nn::prunable_parameters(*network.module)) {
    row.layers.push_back(
        {.name = weight.name, .total = weight.parameter->numel(), .kept = weight.parameter->nnz()});
  }
}

// Whether what the method removes are channels, so that the network can shrink.
bool removes_channels(const PlannedRun& run) {
  if (run.method == "dense") return false;
  const prune::Method& method = prune::method(run.method);
  const auto given = run.pruning.find("pattern");
  if (given != run.pruning.end()) return prune::make_pattern(given->second)->coupled();
  return !method.patterns.empty() && prune::make_pattern(method.patterns.front())->coupled();
}

Tensor first_test_images(const TrainSettings& settings) {
  data::Loader loader(
      open_split(settings.data, data::Split::Test, settings.test_size),
      evaluation_loader(settings.normalization, settings.machine.workers, kSpeedBatch));
  loader.start_epoch(0);
  return loader.next()->images;
}

TrainRequest request_of(const PlannedRun& run,
                        const RunnerOptions& options,
                        const std::vector<RunRow>& rows) {
  std::set<std::string> given;
  for (const auto& [name, text] : run.settings) given.insert(name);
  const TrainSettings settings = train_settings(run, options, rows);
  return {.settings = settings,
          .given = std::move(given),
          .method = chosen_method(settings.run.prune, run.pruning),
          .root = options.folder,
          .wait = true};
}

void run_one(RunRow& row,
             const PlannedRun& run,
             const std::vector<PlannedRun>& plan,
             const RunnerOptions& options,
             const std::vector<RunRow>& rows,
             Console& console) {
  for (const auto& needed : {run.weights_of, run.mask_of}) {
    if (!needed || rows[*needed].finished()) continue;
    throw ValueError(cat("needs the run '", plan[*needed].title(), "', which failed"));
  }
  const TrainRequest request = request_of(run, options, rows);
  const Json figures = run_training(request, console);
  row.folder = figures.at("out").get<std::string>();
  take_figures(row, figures);
  take_layers(row);
  if (options.speed_round_seconds) {
    row.speed = run_speed(row.folder,
                          {.structured = removes_channels(run),
                           .round_seconds = *options.speed_round_seconds,
                           .images = [&] { return first_test_images(request.settings); }});
  }
  console.err << fmt::format("  {}: accuracy {:.4f}, sparsity {:.4f}, {}\n",
                             figures.at("status").get<std::string>(),
                             row.accuracy,
                             row.sparsity,
                             row.folder);
}

}  // namespace

int64_t RunRow::collapsed() const {
  return std::count_if(
      layers.begin(), layers.end(), [](const LayerDensity& layer) { return layer.kept == 0; });
}

std::string RunRow::column(const std::string& name) const {
  if (name == "model") return model;
  if (name == "data") return data;
  if (name == "method") return method;
  if (name == "variant") return variant;
  if (name == "sparsity") return fmt::format("{:.4g}", sparsity_asked);
  throw ValueError(cat("experiment: a run has no column '", name, "'"));
}

std::vector<RunRow> run_plan(const Plan& plan, const RunnerOptions& options, Console& console) {
  check_data(plan, options);
  const InterruptScope interrupts;
  std::vector<RunRow> rows;
  const size_t count = plan.runs().size();
  for (const PlannedRun& run : plan.runs()) {
    stop_if_interrupted(cat("after ", rows.size(), " of ", count, " runs"));
    console.err << fmt::format("[{}/{}] {}\n", rows.size() + 1, count, run.title()) << std::flush;
    RunRow row = row_of(run);
    try {
      run_one(row, run, plan.runs(), options, rows, console);
    } catch (const std::bad_alloc&) {
      row.error = "out of memory";
    } catch (const std::exception& error) {
      row.error = error.what();
    }
    if (!row.finished()) console.err << "  failed: " << row.error << '\n';
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<RunPlace> places_of_runs(const Plan& plan,
                                     const RunnerOptions& options,
                                     Console& console) {
  check_data(plan, options);
  std::vector<RunPlace> out;
  std::vector<RunRow> rows;
  for (const PlannedRun& run : plan.runs()) {
    RunRow row = row_of(run);
    RunPlace place;
    place.title = run.title();
    place.status = "after another run";
    const auto is_missing = [&](const std::optional<size_t>& needed) {
      return needed && out[*needed].status != "is finished";
    };
    if (!is_missing(run.weights_of) && !is_missing(run.mask_of)) {
      std::tie(place.folder, place.status) =
          place_of_training(request_of(run, options, rows), console);
      row.folder = place.folder;
    }
    out.push_back(std::move(place));
    rows.push_back(std::move(row));
  }
  return out;
}

}  // namespace espalier::experiments::comparisons
