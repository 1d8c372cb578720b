// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/comparisons/experiment.h>

#include <algorithm>

#include <fmt/format.h>

#include <espalier/core/error.h>
#include <espalier/experiments/comparisons/comparisons.h>
#include <espalier/experiments/inputs/inputs.h>

namespace espalier::experiments::comparisons {
namespace {

using Settings = std::map<std::string, std::string>;

// What the presets have in common; a rate of 0.1 with one cycle suits few epochs and many.
const Settings kCommon = {{"lr", "0.1"},
                          {"nesterov", "true"},
                          {"weight-decay", "5e-4"},
                          {"schedule", "onecycle"},
                          {"batch", "128"}};
constexpr double kFineTuningRate = 0.02;

Settings with(Settings settings, const Settings& more) {
  for (const auto& [name, text] : more) settings[name] = text;
  return settings;
}

// What decides the result of a run; names for people are no part of it.
bool same_training(const PlannedRun& a, const PlannedRun& b) {
  return a.settings == b.settings && a.pruning == b.pruning && a.weights_of == b.weights_of &&
         a.mask_of == b.mask_of;
}

}  // namespace

std::string name(Preset preset) {
  switch (preset) {
    case Preset::Smoke:
      return "smoke";
    case Preset::Quick:
      return "quick";
    case Preset::Paper:
      return "paper";
  }
  throw ValueError("name: unknown preset");
}

Preset parse_preset(const std::string& text) {
  for (const Preset preset : {Preset::Smoke, Preset::Quick, Preset::Paper}) {
    if (name(preset) == text) return preset;
  }
  throw ValueError(cat("preset: expects smoke, quick or paper, got '", text, "'"));
}

Scale scale_of(Preset preset) {
  switch (preset) {
    case Preset::Smoke:
      return {.preset = preset,
              .data = "synth",
              .other_data = "synth#1",
              .settings = with(kCommon,
                               {{"width", "0.125"},
                                {"train-size", "96"},
                                {"test-size", "100"},
                                {"batch", "32"},
                                {"epochs", "1"}}),
              .seeds = {1}};
    case Preset::Quick:
      return {
          .preset = preset,
          .data = "cifar10",
          .other_data = "synth",
          .settings = with(
              kCommon,
              {{"width", "0.25"}, {"train-size", "10000"}, {"test-size", "5000"}, {"epochs", "6"}}),
          .seeds = {1, 2, 3}};
    case Preset::Paper:
      return {.preset = preset,
              .data = "cifar10",
              .other_data = "synth",
              .settings = with(kCommon, {{"epochs", "160"}, {"schedule", "multistep"}}),
              .seeds = {1, 2, 3}};
  }
  throw ValueError("scale_of: unknown preset");
}

Scale scale_of(const Experiment& experiment,
               Preset preset,
               const std::filesystem::path& data_root) {
  Scale scale = scale_of(preset);
  if (preset == Preset::Quick) scale.of_model = experiment.quick;
  if (preset == Preset::Smoke) return scale;
  for (const std::string& name : experiment.second_data) {
    for (const data::DatasetInfo& info : data::known_datasets()) {
      if (info.name != name || !is_found(info, data_root)) continue;
      scale.other_data = name;
      return scale;
    }
  }
  return scale;
}

std::string PlannedRun::title() const {
  std::string out = model + " " + data + " " + method;
  if (!variant.empty()) out += " " + variant;
  if (sparsity > 0.0) out += fmt::format(" {:.4g}", sparsity);
  return out + fmt::format(" seed {}", seed);
}

std::vector<double> Plan::sparsities(const std::vector<double>& quick,
                                     const std::vector<double>& paper) const {
  if (scale_.preset == Preset::Paper) return paper;
  if (scale_.preset == Preset::Quick) return quick;
  return {quick.front()};
}

std::string Plan::rounds(int64_t count) const {
  constexpr int64_t kMostInSmoke = 5;
  return std::to_string(scale_.preset == Preset::Smoke ? std::min(count, kMostInSmoke) : count);
}

size_t Plan::add(PlannedRun run) {
  for (const auto& needed : {run.weights_of, run.mask_of}) {
    ESPALIER_CHECK(!needed || *needed < runs_.size(),
                   ValueError,
                   "plan: ",
                   run.title(),
                   " needs run ",
                   needed.value_or(0),
                   ", which is not planned before it");
  }
  const auto same = std::find_if(runs_.begin(), runs_.end(), [&](const PlannedRun& other) {
    return same_training(run, other) && run.title() == other.title();
  });
  if (same != runs_.end()) return static_cast<size_t>(same - runs_.begin());
  runs_.push_back(std::move(run));
  return runs_.size() - 1;
}

size_t Plan::dense(const Where& where) {
  return add(run(where));
}

PlannedRun Plan::run(const Where& where) const {
  const size_t mark = where.data.find('#');
  const auto own = scale_.of_model.find(where.model);
  Settings settings =
      own == scale_.of_model.end() ? scale_.settings : with(scale_.settings, own->second);
  settings["model"] = where.model;
  settings["data"] = where.data.substr(0, mark);
  if (mark != std::string::npos) settings["data-seed"] = where.data.substr(mark + 1);
  settings["seed"] = std::to_string(where.seed);
  return {.model = where.model,
          .data = where.data,
          .seed = where.seed,
          .settings = std::move(settings)};
}

PlannedRun Plan::pruned(const Where& where,
                        const std::string& method,
                        double sparsity,
                        Settings options) const {
  PlannedRun out = run(where);
  out.method = method;
  out.sparsity = sparsity;
  out.settings["prune"] = method;
  out.pruning = std::move(options);
  out.pruning["sparsity"] = fmt::format("{}", sparsity);
  out.pruning["allow-collapse"] = "true";
  return out;
}

PlannedRun Plan::trained_on(const Where& where) {
  PlannedRun out = run(where);
  out.weights_of = dense(where);
  out.variant = "trained on";
  out.settings["lr"] = fmt::format("{}", kFineTuningRate);
  return out;
}

PlannedRun Plan::fine_tuned(const Where& where,
                            const std::string& method,
                            double sparsity,
                            Settings options) {
  const size_t start = dense(where);
  PlannedRun out = pruned(where, method, sparsity, std::move(options));
  out.weights_of = start;
  out.settings["lr"] = fmt::format("{}", kFineTuningRate);
  return out;
}

const std::vector<Experiment>& experiments() {
  static const std::vector<Experiment> list = {
#define ESPALIER_EXPERIMENT(name) list::name(),
#include <espalier/experiments/comparisons/comparisons.inc>
#undef ESPALIER_EXPERIMENT
  };
  return list;
}

const Experiment& experiment(const std::string& name) {
  std::string known;
  for (const Experiment& one : experiments()) {
    if (one.name == name) return one;
    known += (known.empty() ? "" : ", ") + one.name;
  }
  throw ValueError(cat("experiment: unknown name '", name, "'. Known: ", known));
}

}  // namespace espalier::experiments::comparisons
