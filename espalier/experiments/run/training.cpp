// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/training.h>

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/free_memory.h>
#include <espalier/core/finite.h>
#include <espalier/core/parallel.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/inputs/masks.h>
#include <espalier/experiments/inputs/recipe.h>
#include <espalier/experiments/inputs/scoring_batches.h>
#include <espalier/experiments/interrupt.h>
#include <espalier/experiments/run/prepared_training.h>
#include <espalier/experiments/run/recorder.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/run/run_folder.h>
#include <espalier/experiments/run/run_json.h>
#include <espalier/experiments/run/step_memory.h>
#include <espalier/experiments/settings/settings_json.h>
#include <espalier/experiments/timing/layer_times.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/quantize/quantize.h>
#include <espalier/nn/train/checkpoint.h>
#include <espalier/nn/train/distillation.h>
#include <espalier/nn/train/hooks/early_stopping.h>
#include <espalier/nn/train/hooks/validation.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Samples of an evaluation at once: as many as take no more memory than 256 of 64x64.
int64_t evaluation_batch(const data::Dataset& dataset) {
  constexpr int64_t kMost = 256;
  constexpr int64_t kPixels = kMost * 64 * 64;
  constexpr int64_t kLanes = 16;
  const data::ImageShape shape = dataset.image_shape();
  const int64_t fit = kPixels / std::max<int64_t>(1, shape.height * shape.width);
  return std::clamp(fit / kLanes * kLanes, kLanes, kMost);
}

prune::PruneInputs pruning_inputs(const TrainRequest& request,
                                  const Network& network,
                                  const std::shared_ptr<const data::Dataset>& train,
                                  const fs::path& folder) {
  prune::PruneInputs inputs;
  inputs.measurements = folder / kLatenciesFile;
  inputs.search = folder / kSearchFile;
  const ScoringBatches batches(train, request.settings);
  inputs.batch = batches;
  inputs.batches = batches.batches();
  inputs.input_shape = network.sample();
  inputs.fresh_model = [settings = request.settings, train](uint64_t seed) {
    return network_for(settings, *train, seed).module;
  };
  inputs.seed = static_cast<uint64_t>(request.settings.training.seed);
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
    progress.line(fmt::format("pruned at step {}: kept {} of {} prunable weights, sparsity {:.4f}",
                              report.step,
                              report.kept(),
                              report.total(),
                              report.sparsity().value()));
    for (const std::string& note : report.notes) progress.line("  " + note);
  };
}

// What a step minimizes; null without a teacher: what `fit` does by itself.
std::shared_ptr<nn::Objective> make_objective(const TrainSettings& settings,
                                              const data::Dataset& dataset) {
  const std::string& teacher = settings.run.distill_from;
  if (teacher.empty()) return nullptr;
  const TrainingSettings& training = settings.training;
  return std::make_shared<nn::Distillation>(
      load_network(teacher, network_for(settings, dataset)).module,
      nn::DistillationOptions{.temperature = training.distill_temperature,
                              .weight = training.distill_weight},
      training.label_smoothing);
}

// What --validation and --early-stop add to a training.
struct HeldOutHooks {
  data::Loader samples;
  nn::Validation validation;
  std::optional<nn::EarlyStopping> early_stopping;

  HeldOutHooks(const TrainSettings& settings, const std::shared_ptr<const data::Dataset>& dataset)
      : samples(dataset,
                evaluation_loader(
                    settings.normalization, settings.machine.workers, evaluation_batch(*dataset))),
        validation(samples) {
    const int64_t patience = settings.training.early_stop;
    if (patience > 0)
      early_stopping.emplace(validation.accuracy(), nn::EarlyStoppingOptions{.patience = patience});
  }
  void append_to(std::vector<nn::TrainHook*>& hooks) {
    hooks.push_back(&validation);
    if (early_stopping) hooks.push_back(&*early_stopping);
  }
  // Of the network as it is saved, which a pruner may have changed after the last epoch.
  void tell(nn::Module& model, Json& results) {
    const nn::Evaluation now = nn::evaluate(model, samples);
    check_evaluation(now, "validation");
    results["validation_accuracy"] = now.accuracy();
    results["validation_loss"] = now.loss;
  }
};

// What goes wrong before the first step of all is wrong with the request, and leaves no new folder.
template <class Work>
nn::TrainProgress fit_in(RunFolder& folder, const Recorder& recorder, bool resumed, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const Interrupted&) {
    folder.interrupt();
    throw;
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
    return timing::time_layers(network, batch);
  } catch (const std::exception& error) {
    progress.line(fmt::format("the layers are not timed: {}", error.what()));
    return {};
  }
}

// A layer multiplies with one form.
void quantize(nn::Module& model, const std::string& method) {
  if (!method.empty()) {
    const prune::Method& chosen = prune::method(method);
    const bool first = chosen.when == prune::When::Before || chosen.when == prune::When::After;
    ESPALIER_CHECK(!first || chosen.facts().data_free || nn::is_quantized(model),
                   NotImplemented,
                   "train: --quantize int8 and --prune ",
                   method,
                   " at once: the method reads data before the first step, when the ranges of the "
                   "layers' inputs are not known. Train with --prune first, then with --quantize "
                   "and --weights");
  }
  for (const nn::FormSite& site : nn::form_sites(model)) {
    ESPALIER_CHECK(
        site.form() == nullptr || site.form()->replaces_product(),
        NotImplemented,
        "train: --quantize int8 and --prune ",
        method,
        " at once: both say what ",
        site.layer,
        " multiplies with. Train with --prune first, then with --quantize and --weights");
  }
  nn::attach_quantizers(model);
}

// Before the folder is made.
StepMemory tell_memory(const TrainSettings& settings,
                       Network& network,
                       const nn::Optimizer& optimizer,
                       const data::Dataset& dataset,
                       Progress& progress) {
  const int64_t batch = samples_of_step(settings, dataset);
  const std::optional<int64_t> left = espalier::detail::free_memory();
  const StepMemory memory = memory_of_steps(settings, network, optimizer, dataset);
  if (!settings.run.ignore_memory) check_step_memory(memory, network, batch, left);
  progress.line(step_memory_text(memory, batch, left));
  return memory;
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
  const TrainSettings& settings = request.settings;
  const TrainingSettings& training = settings.training;
  const RunSettings& run = settings.run;
  set_num_threads(static_cast<int>(settings.machine.threads));
  // All that can be wrong with the request is found before the folder is made.
  PreparedTraining prepared = prepare_training(request, console);
  const Json& record = prepared.record;
  const auto& train_split = prepared.train;
  const auto& test_split = prepared.test;
  Network& network = prepared.network;
  std::vector<std::string>& notes = prepared.notes;
  // Before the optimizer is made: what a method trains besides the weights are parameters too.
  const fs::path& path = prepared.path;
  const auto pruner = make_run_pruner(request, network, train_split, path);
  if (pruner) {
    for (std::string& note : pruner->attach(*network.module)) notes.push_back(std::move(note));
  }
  if (training.quantize == Precision::Int8) quantize(*network.module, run.prune);
  data::Loader train(train_split, training_loader(settings, *train_split));
  data::Loader test(
      test_split,
      evaluation_loader(
          settings.normalization, settings.machine.workers, evaluation_batch(*test_split)));
  std::optional<HeldOutHooks> held_out;
  if (prepared.validation) held_out.emplace(settings, prepared.validation);
  const auto objective = make_objective(settings, *train_split);
  const auto optimizer = make_optimizer(training, *network.module);
  const auto schedule = make_schedule(training, train.batches());
  const int64_t epochs = training.epochs;
  Progress progress(console, epochs * train.batches());
  if (pruner) tell_updates(*pruner, progress);
  const int64_t repeated = pruner ? pruner->repeated_steps(epochs * train.batches()) : 0;
  progress.extend(repeated);
  for (const std::string& note : notes) progress.line(note);
  const StepMemory memory = tell_memory(settings, network, *optimizer, *train_split, progress);

  const auto busy = [&] {
    console.err << "  waiting for another process, which is at work in " << path.string() << '\n'
                << std::flush;
  };
  const InterruptScope interrupts;
  RunFolder folder(path,
                   record,
                   default_settings(request),
                   request.wait ? std::function<void()>(busy) : std::function<void()>(),
                   ground_of(*train_split, *test_split, run.allow_other_simd));
  if (folder.state() == RunFolder::State::Finished) {
    const Json results = folder.results();
    check_finished_results(results, folder.path() / kRunFile);
    return with_status(results, "was finished", folder.path());
  }
  set_kernel_chooser(settings.kernels, folder.path() / "kernels.json");
  std::vector<nn::TrainHook*> hooks;
  if (pruner) hooks.push_back(pruner.get());
  nn::QuantizationAware quantization(training.quantize_freeze);
  if (nn::is_quantized(*network.module)) hooks.push_back(&quantization);
  if (held_out) held_out->append_to(hooks);
  const nn::TrainingParts parts{*network.module, *optimizer, hooks};
  Recorder recorder(
      folder,
      network,
      test,
      held_out ? &held_out->validation : nullptr,
      parts,
      run.checkpoint_every,
      epochs + (pruner ? pruner->repeated_epochs(epochs * train.batches(), train.batches()) : 0),
      progress);
  hooks.push_back(&recorder);
  nn::FitOptions options{.epochs = epochs,
                         .label_smoothing = training.label_smoothing,
                         .clip_grad_norm = training.clip_norm,
                         .saved_as = training.saved,
                         .objective = objective};
  const std::optional<SafetensorsFile> checkpoint = folder.load_checkpoint();
  for (const std::string& note : folder.notes()) progress.line(note);
  if (checkpoint) {
    options.resume = nn::restore_checkpoint(*checkpoint, parts);
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
  if (held_out) held_out->tell(*network.module, results);
  results["epochs"] = end.stopped() ? end.epoch : epochs;
  if (end.stopped()) results["stopped_by"] = end.stopped_by;
  results["steps"] = end.step + end.repeated;
  results["seconds"] = seconds;
  results["training_memory"] = memory.needed();
  folder.finish(
      results,
      try_to_time_layers(network, std::min(training.batch, train_split->size()), progress));
  return with_status(results, checkpoint ? "continued" : "trained", folder.path());
}

}  // namespace espalier::experiments
