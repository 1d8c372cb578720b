// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/training_plan.h>

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/free_memory.h>
#include <espalier/core/error.h>
#include <espalier/core/parallel.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/recipe.h>
#include <espalier/experiments/run/prepared_training.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/run/run_folder.h>
#include <espalier/experiments/run/run_json.h>
#include <espalier/nn/introspect/counting.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string status_of(const PreparedTraining& prepared, const Json& defaults) {
  if (!fs::exists(prepared.path / kRunFile)) return "new";
  const Json run = read_run_json(prepared.path / kRunFile);
  const bool begun = std::ranges::any_of(
      kTrainedFiles, [&](const char* name) { return fs::exists(prepared.path / name); });
  if (!begun) return "new";
  const std::string different =
      differences_of_settings(run.value("settings", Json::object()), prepared.record, defaults);
  ESPALIER_CHECK(different.empty(),
                 ValueError,
                 "run: ",
                 prepared.path.string(),
                 " holds a run with other settings. ",
                 different,
                 ". Choose another --out, or remove the folder");
  return run.value("status", Json()) == "finished" ? "is finished" : "goes on";
}

int64_t steps_an_epoch(const TrainingSettings& training, int64_t samples) {
  return training.drop_last ? samples / training.batch
                            : (samples + training.batch - 1) / training.batch;
}

}  // namespace

Json plan_training(const TrainRequest& request, Console& console) {
  const TrainSettings& settings = request.settings;
  set_num_threads(static_cast<int>(settings.machine.threads));
  PreparedTraining prepared = prepare_training(request, console);
  const auto optimizer = make_optimizer(settings.training, *prepared.network.module);
  const StepMemory memory =
      memory_of_steps(settings, prepared.network, *optimizer, *prepared.train);
  const std::optional<int64_t> left = espalier::detail::free_memory();
  const nn::ModelCount count = nn::count_model(*prepared.network.module, prepared.network.sample());
  const int64_t a_epoch = steps_an_epoch(settings.training, prepared.train->size());
  const std::string status = status_of(prepared, default_settings(request));
  Json files = Json::array();
  if (status != "is finished") {
    for (const char* name :
         {kRunFile, kMetricsFile, kMetricsTable, kStateFile, kPreviousFile, kModelFile}) {
      files.push_back((prepared.path / name).string());
    }
  }
  return {{"model", prepared.network.name},
          {"data", settings.data.data},
          {"method", request.method ? request.method->method->name : std::string()},
          {"params", count.total.params},
          {"macs", count.total.macs_dense},
          {"train_samples", prepared.train->size()},
          {"test_samples", prepared.test->size()},
          {"batch", samples_of_step(settings, *prepared.train)},
          {"epochs", settings.training.epochs},
          {"steps", settings.training.epochs * a_epoch},
          {"training_memory", memory.needed()},
          {"memory_free", left ? Json(*left) : Json()},
          {"out", prepared.path.string()},
          {"status", status},
          {"files", files}};
}

std::pair<std::string, std::string> place_of_training(const TrainRequest& request,
                                                      Console& console) {
  const PreparedTraining prepared = prepare_training(request, console);
  return {prepared.path.string(), status_of(prepared, default_settings(request))};
}

std::string plan_text(const Json& plan) {
  const auto count = [&](const char* key) { return grouped(plan.at(key).get<int64_t>()); };
  const Json& left = plan.at("memory_free");
  const auto method = plan.at("method").get<std::string>();
  std::string out = fmt::format(
      "model       {}, {} parameters, {} MACs of one sample\n"
      "data        {}, {} samples to train on, {} to test on\n"
      "pruning     {}\n"
      "steps       {} epochs, {} steps of {} samples{}\n"
      "memory      {} a step{}\n"
      "folder      {} ({})\n",
      plan.at("model").get<std::string>(),
      count("params"),
      short_count(plan.at("macs").get<double>()),
      plan.at("data").get<std::string>(),
      count("train_samples"),
      count("test_samples"),
      method.empty() ? "none" : method,
      count("epochs"),
      count("steps"),
      count("batch"),
      method.empty() ? "" : "; a method that trains in rounds repeats some",
      bytes_text(plan.at("training_memory").get<int64_t>()),
      left.is_null() ? "" : ", " + bytes_text(left.get<int64_t>()) + " are free",
      plan.at("out").get<std::string>(),
      plan.at("status").get<std::string>());
  for (const Json& file : plan.at("files")) out += "  " + file.get<std::string>() + "\n";
  return out + "nothing was written\n";
}

}  // namespace espalier::experiments
