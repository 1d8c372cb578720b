// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/prepared_training.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <espalier/core/detail/free_memory.h>
#include <espalier/core/error.h>
#include <espalier/data/loader.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/inputs/masks.h>
#include <espalier/experiments/run/run_folder.h>
#include <espalier/experiments/settings/settings_json.h>
#include <espalier/nn/quantize/quantize.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json settings_json(const TrainRequest& request) {
  const auto& table = train_table();
  const OptionTexts texts = table.texts(request.settings);
  Json out = to_json(table.options(), texts);
  if (request.method) out.update(to_json(*request.method));
  for (const char* file : {"weights", "distill-from", "mask-from"}) {
    const std::string& path = texts.at(file);
    if (!path.empty()) out[cat(file, "-fingerprint")] = file_fingerprint(path);
  }
  return out;
}

fs::path folder_path(const TrainRequest& request, const Json& settings) {
  if (const std::string& out = request.settings.run.out; !out.empty()) return out;
  return request.root / run_id(settings, default_train_json());
}

std::shared_ptr<const data::Dataset> open_training_split(const TrainSettings& settings) {
  auto dataset = open_split(settings.data, data::Split::Train);
  const TrainingSettings& training = settings.training;
  if (training.train_size == 0) return dataset;
  return data::subset(
      std::move(dataset), training.train_size, static_cast<uint64_t>(training.seed));
}

// The share that --validation takes off the training samples, at least one of them.
data::HeldOut hold_out_validation(std::shared_ptr<const data::Dataset> dataset,
                                  const TrainingSettings& training) {
  if (training.validation == 0.0) return {.rest = std::move(dataset), .held_out = nullptr};
  const auto samples = static_cast<double>(dataset->size());
  const int64_t size = std::max<int64_t>(1, std::llround(training.validation * samples));
  ESPALIER_CHECK(size < dataset->size(),
                 ValueError,
                 "train: --validation ",
                 training.validation,
                 " leaves none of ",
                 dataset->size(),
                 " samples to train on");
  if (dataset->context() > 0) return data::hold_out_end(std::move(dataset), size);
  return data::hold_out(std::move(dataset), size, static_cast<uint64_t>(training.seed));
}

// Files of ours describe their network: the record tells it, not what was left at its default.
// Throws ValueError where something else was asked for.
void record_network(const TrainRequest& request,
                    const Network& network,
                    const std::string& file,
                    Json& settings) {
  check_asked_network(
      "train", asked_of_network(request.settings.network, request.given), network, file);
  settings.update(network_settings(network));
  if (!nn::is_quantized(*network.module)) return;
  ESPALIER_CHECK(!request.given.contains("quantize") || settings.at("quantize") == "int8",
                 ValueError,
                 "train: --quantize ",
                 settings.at("quantize").get<std::string>(),
                 " was asked for, but the network of ",
                 file,
                 " computes in 8 bits; leave the option out");
  settings["quantize"] = "int8";
}

}  // namespace

PreparedTraining prepare_training(const TrainRequest& request, Console& console) {
  const TrainSettings& settings = request.settings;
  const TrainingSettings& training = settings.training;
  const RunSettings& run = settings.run;
  Json record = settings_json(request);
  const auto [train_split, validation_split] =
      hold_out_validation(open_training_split(settings), training);
  const auto test_split = open_split(settings.data, data::Split::Test, settings.test_size);
  tell_notes({train_split.get(), test_split.get()}, console);
  Network network = network_for(settings, *train_split, static_cast<uint64_t>(training.seed));
  const auto elastic = elastic_order(run.elastic);
  ESPALIER_CHECK(!elastic || !run.weights.empty() || !run.mask_from.empty(),
                 ValueError,
                 "train: --elastic says how --weights or --mask-from are read; give one of them");
  std::vector<std::string> notes;
  if (const std::string& weights = run.weights; !weights.empty()) {
    network = load_network(weights, std::move(network), elastic);
    record_network(request, network, weights, record);
    notes = heed_zeros(weights, network, run.masks_from_zeros);
  }
  if (const std::string& masks = run.mask_from; !masks.empty()) {
    ESPALIER_CHECK(
        run.prune.empty(),
        ValueError,
        "train: --mask-from gives the masks that --prune would find; choose one of them");
    ESPALIER_CHECK(!run.masks_from_zeros,
                   ValueError,
                   "train: --mask-from and --masks-from-zeros both give masks; choose one of them");
    for (std::string& note : take_masks(masks, network, elastic)) notes.push_back(std::move(note));
  }
  fs::path path = folder_path(request, record);
  return {.record = std::move(record),
          .train = train_split,
          .validation = validation_split,
          .test = test_split,
          .network = std::move(network),
          .notes = std::move(notes),
          .path = std::move(path)};
}

Network network_for(const TrainSettings& settings, const data::Dataset& dataset, uint64_t seed) {
  return make_network(settings.network, settings.data.other_classes, dataset, seed);
}

Json default_settings(const TrainRequest& request) {
  Json out = default_train_json();
  if (request.method)
    out.update(to_json(prune::choose_method(*request.method->method, OptionTexts())));
  return out;
}

int64_t samples_of_step(const TrainSettings& settings, const data::Dataset& dataset) {
  return std::min(settings.training.batch, std::max<int64_t>(1, dataset.size()));
}

StepMemory memory_of_steps(const TrainSettings& settings,
                           Network& network,
                           const nn::Optimizer& optimizer,
                           const data::Dataset& dataset) {
  const int64_t ahead = settings.machine.workers == 0 ? 0 : data::LoaderOptions().prefetch;
  const SavedAsScope keeps(settings.training.saved);
  return step_memory(network,
                     optimizer,
                     samples_of_step(settings, dataset),
                     ahead,
                     espalier::detail::free_memory());
}

}  // namespace espalier::experiments
