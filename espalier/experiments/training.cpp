// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/training.h>

#include <algorithm>

#include <fmt/format.h>

#include <espalier/core/finite.h>
#include <espalier/core/parallel.h>
#include <espalier/experiments/checkpoint.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/inputs.h>
#include <espalier/experiments/options.h>
#include <espalier/experiments/recipe.h>
#include <espalier/experiments/recorder.h>
#include <espalier/experiments/run_files.h>
#include <espalier/experiments/run_folder.h>
#include <espalier/experiments/run_json.h>
#include <espalier/experiments/scoring_batches.h>
#include <espalier/experiments/timing/layer_times.h>
#include <espalier/nn/quantize/quantize.h>
#include <espalier/nn/train/distillation.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kEvaluationBatch = 256;

Json settings_json(const TrainRequest& request) {
  const OptionValues& train = request.values;
  Json out = to_json(train);
  if (request.method) out.update(to_json(*request.method));
  for (const char* file : {"weights", "distill-from", "mask-from"}) {
    const std::string& path = train.text(file);
    if (!path.empty()) out[cat(file, "-fingerprint")] = file_fingerprint(path);
  }
  return out;
}

fs::path folder_path(const TrainRequest& request, const Json& settings) {
  if (const std::string& out = request.values.text("out"); !out.empty()) return out;
  const OptionValues defaults("train", train_options());
  return request.root / run_id(settings, to_json(defaults));
}

prune::PruneInputs pruning_inputs(const TrainRequest& request,
                                  const Network& network,
                                  const std::shared_ptr<const data::Dataset>& train,
                                  const fs::path& folder) {
  prune::PruneInputs inputs;
  inputs.measurements = folder / kLatenciesFile;
  const ScoringBatches batches(train, request.values);
  inputs.batch = batches;
  inputs.batches = batches.batches();
  inputs.input_shape = network.image();
  inputs.fresh_model = [values = request.values, train](uint64_t seed) {
    return make_network(values, *train, seed).module;
  };
  inputs.seed = static_cast<uint64_t>(request.values.integer("seed"));
  return inputs;
}

std::unique_ptr<prune::Pruner> make_run_pruner(const TrainRequest& request,
                                               const Network& network,
                                               const std::shared_ptr<const data::Dataset>& train,
                                               const fs::path& folder) {
  if (!request.method) return nullptr;
  return prune::make_pruner(*request.method, pruning_inputs(request, network, train, folder));
}

void tell_updates(prune::Pruner& pruner, Progress& progress) {
  // Some methods move weights at every step: what keeps their number is told now and then.
  constexpr int64_t kQuietSteps = 50;
  pruner.on_update = [&progress, kept = int64_t{-1}, told = int64_t{0}](
                         const prune::UpdateReport& report) mutable {
    const bool same = report.kept() == kept && report.notes.empty();
    if (same && report.step - told < kQuietSteps) return;
    kept = report.kept();
    told = report.step;
    progress.line(
        fmt::format("pruned at step {}: kept {} of {} weights that may go, sparsity {:.4f}",
                    report.step,
                    report.kept(),
                    report.total(),
                    report.sparsity().value()));
    for (const std::string& note : report.notes) progress.line("  " + note);
  };
}

std::shared_ptr<const data::Dataset> open_training_split(const OptionValues& values) {
  auto dataset = open_split(values, data::Split::Train);
  const int64_t size = values.integer("train-size");
  if (size == 0) return dataset;
  return data::subset(std::move(dataset), size, static_cast<uint64_t>(values.integer("seed")));
}

// The teacher's part of the loss; empty without a teacher.
std::function<Variable(const Variable&, const data::Batch&)> make_distillation(
    const OptionValues& values, const data::Dataset& dataset) {
  const std::string& teacher = values.text("distill-from");
  if (teacher.empty()) return {};
  return nn::Distillation(
      load_network(teacher, make_network(values, dataset)).module,
      {.temperature = values.real("distill-temperature"), .weight = values.real("distill-weight")},
      values.real("label-smoothing"));
}

Json default_settings(const TrainRequest& request) {
  Json out = to_json(OptionValues("train", train_options()));
  if (request.method)
    out.update(to_json(prune::choose_method(*request.method->method, OptionTexts())));
  return out;
}

// Files of ours describe their network: the record tells it, not what was left at its default.
// Throws ValueError where something else was asked for.
void record_network(const TrainRequest& request,
                    const Network& network,
                    const std::string& file,
                    Json& settings) {
  std::map<std::string, std::string> given;
  for (const std::string& name : request.given) given[name] = {};
  check_asked_network("train", asked_of_network(request.values, given), network, file);
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

// What goes wrong before the first step of all is wrong with the request, and leaves no new folder.
template <class Work>
nn::TrainProgress fit_in(RunFolder& folder, const Recorder& recorder, bool resumed, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const std::exception& error) {
    const bool begun = resumed || recorder.has_stepped();
    if (!begun && folder.state() == RunFolder::State::Fresh) {
      folder.discard();
    } else {
      folder.fail(error.what());
    }
    if (!begun) throw;
    return while_running([]() -> nn::TrainProgress { throw; });
  }
}

// A run that fails after its last step is marked too.
template <class Work>
decltype(auto) finish_in(RunFolder& folder, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const std::exception& error) {
    folder.fail(error.what());
    throw;
  }
}

// With the batch that was trained, which a small data set does not fill. It tells about a network
// that is trained and saved: what goes wrong is told, and loses nothing.
Json try_to_time_layers(Network& network, int64_t batch, Progress& progress) {
  progress.line("timing each layer");
  try {
    return time_layers(network, batch);
  } catch (const std::exception& error) {
    progress.line(fmt::format("the layers are not timed: {}", error.what()));
    return {};
  }
}

Json with_status(Json results, const std::string& status, const fs::path& out) {
  results["out"] = out.string();
  results["status"] = status;
  return results;
}

}  // namespace

std::optional<prune::MethodChoice> chosen_method(const std::string& name,
                                                 const OptionTexts& given) {
  if (!name.empty()) return prune::choose_method(prune::method(name), given);
  ESPALIER_CHECK(given.empty(),
                 ValueError,
                 "train: option ",
                 given.begin()->first,
                 " belongs to a pruning method, but none is chosen. Add --prune METHOD");
  return std::nullopt;
}

Json run_training(const TrainRequest& request, Console& console) {
  const OptionValues& values = request.values;
  set_num_threads(static_cast<int>(values.integer("threads")));
  Json settings = settings_json(request);

  // All that can be wrong with the request is found before the folder is made.
  const auto train_split = open_training_split(values);
  const auto test_split = open_split(values, data::Split::Test);
  tell_notes({train_split.get(), test_split.get()}, console);
  Network network =
      make_network(values, *train_split, static_cast<uint64_t>(values.integer("seed")));
  const auto elastic = elastic_order(values);
  ESPALIER_CHECK(!elastic || !values.text("weights").empty() || !values.text("mask-from").empty(),
                 ValueError,
                 "train: --elastic says how --weights or --mask-from are read; give one of them");
  std::vector<std::string> notes;
  if (const std::string& weights = values.text("weights"); !weights.empty()) {
    network = load_network(weights, std::move(network), elastic);
    record_network(request, network, weights, settings);
    notes = heed_zeros(weights, network, values.flag("masks-from-zeros"));
  }
  if (const std::string& masks = values.text("mask-from"); !masks.empty()) {
    ESPALIER_CHECK(
        values.text("prune").empty(),
        ValueError,
        "train: --mask-from gives the masks that --prune would find; choose one of them");
    ESPALIER_CHECK(!values.flag("masks-from-zeros"),
                   ValueError,
                   "train: --mask-from and --masks-from-zeros both give masks; choose one of them");
    for (std::string& note : take_masks(masks, network, elastic)) notes.push_back(std::move(note));
  }
  // Before the optimizer is made: what a method trains besides the weights are parameters too.
  const fs::path path = folder_path(request, settings);
  const auto pruner = make_run_pruner(request, network, train_split, path);
  if (pruner) {
    for (std::string& note : pruner->attach(*network.module)) notes.push_back(std::move(note));
  }
  if (values.text("quantize") == "int8") nn::attach_quantizers(*network.module);
  data::Loader train(train_split, training_loader(values, *train_split));
  data::Loader test(test_split, evaluation_loader(values, kEvaluationBatch));
  const auto batch_loss = make_distillation(values, *train_split);
  const auto optimizer = make_optimizer(values, *network.module);
  const auto schedule = make_schedule(values, train.batches());
  const int64_t epochs = values.integer("epochs");
  Progress progress(console, epochs * train.batches());
  if (pruner) tell_updates(*pruner, progress);
  const int64_t repeated = pruner ? pruner->repeated_steps(epochs * train.batches()) : 0;
  progress.extend(repeated);
  for (const std::string& note : notes) progress.line(note);

  const auto busy = [&] {
    console.err << "  waiting for another process, which is at work in " << path.string() << '\n'
                << std::flush;
  };
  RunFolder folder(path,
                   settings,
                   default_settings(request),
                   request.wait ? std::function<void()>(busy) : std::function<void()>(),
                   ground_of(*train_split, *test_split, values.flag("allow-other-simd")));
  if (folder.state() == RunFolder::State::Finished) {
    const Json results = folder.results();
    check_finished_results(results, folder.path() / kRunFile);
    return with_status(results, "was finished", folder.path());
  }
  set_kernel_chooser(values, folder.path() / "kernels.json");
  std::vector<nn::TrainHook*> hooks;
  if (pruner) hooks.push_back(pruner.get());
  nn::QuantizationAware quantization(values.real("quantize-freeze"));
  if (nn::is_quantized(*network.module)) hooks.push_back(&quantization);
  const TrainingParts parts{*network.module, *optimizer, hooks};
  Recorder recorder(
      folder,
      network,
      test,
      parts,
      values.integer("checkpoint-every"),
      epochs + (pruner ? pruner->repeated_epochs(epochs * train.batches(), train.batches()) : 0),
      progress);
  hooks.push_back(&recorder);
  nn::FitOptions options{.epochs = epochs,
                         .label_smoothing = values.real("label-smoothing"),
                         .clip_grad_norm = values.real("clip-norm"),
                         .batch_loss = batch_loss};
  const std::optional<SafetensorsFile> checkpoint = folder.load_checkpoint();
  for (const std::string& note : folder.notes()) progress.line(note);
  if (checkpoint) {
    options.resume = restore_checkpoint(*checkpoint, parts);
    recorder.continue_from(*checkpoint);
    const int64_t done = options.resume->step + options.resume->repeated;
    progress.start_at(done);
    progress.line(fmt::format("continuing {} after step {}", folder.path().string(), done));
  }

  const nn::TrainProgress end = fit_in(folder, recorder, checkpoint.has_value(), [&] {
    return nn::fit(*network.module, *optimizer, *schedule, train, hooks, options);
  });
  const double seconds = recorder.seconds();
  Json results = finish_in(folder, [&] {
    Json figures = while_running([&] {
      check_network(*network.module, "training");
      return measure(network, test);
    });
    while_writing([&] {
      nn::save_model(folder.model_path(), network.name, network.options, *network.module);
    });
    return figures;
  });
  results["epochs"] = epochs;
  results["steps"] = end.step + end.repeated;
  results["seconds"] = seconds;
  folder.finish(results,
                try_to_time_layers(
                    network, std::min(values.integer("batch"), train_split->size()), progress));
  return with_status(results, checkpoint ? "continued" : "trained", folder.path());
}

}  // namespace espalier::experiments
