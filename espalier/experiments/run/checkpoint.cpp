// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/checkpoint.h>

#include <charconv>

#include <fmt/format.h>

#include <espalier/core/finite.h>
#include <espalier/nn/forms/slots.h>

namespace espalier::experiments {
namespace {

using Tensors = std::map<std::string, Tensor>;

constexpr const char* kModel = "model/";
constexpr const char* kRandom = "random/";
constexpr const char* kOptimizer = "optimizer/";
constexpr const char* kProgress = "progress/";
constexpr const char* kSeconds = "seconds";

std::string hook_prefix(size_t index) {
  return cat("hook", index, "/");
}

void add(SafetensorsFile& file, const std::string& prefix, const Tensors& tensors) {
  for (const auto& [name, tensor] : tensors) file.tensors.emplace(prefix + name, tensor);
}

Tensors part(const SafetensorsFile& file, const std::string& prefix) {
  Tensors out;
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with(prefix)) out.emplace(name.substr(prefix.size()), tensor);
  }
  return out;
}

}  // namespace

SafetensorsFile take_checkpoint(const TrainingParts& parts,
                                const nn::TrainProgress& progress,
                                double seconds) {
  SafetensorsFile file;
  add(file, kModel, parts.model.state_dict());
  add(file, kRandom, parts.model.rng_state());
  add(file, kOptimizer, parts.optimizer.state_dict());
  add(file, kProgress, progress.to_tensors());
  for (size_t i = 0; i < parts.hooks.size(); ++i) {
    add(file, hook_prefix(i), parts.hooks[i]->state());
  }
  file.metadata[kSeconds] = fmt::format("{:.6f}", seconds);
  return file;
}

nn::TrainProgress restore_checkpoint(const SafetensorsFile& checkpoint,
                                     const TrainingParts& parts) {
  const Tensors model = part(checkpoint, kModel);
  nn::take_off_folded(parts.model, model);
  parts.optimizer.forget_missing(parts.model);
  parts.model.load_state_dict(model);
  parts.model.load_rng_state(part(checkpoint, kRandom));
  parts.optimizer.load_state_dict(part(checkpoint, kOptimizer));
  for (size_t i = 0; i < parts.hooks.size(); ++i) {
    parts.hooks[i]->load_state(part(checkpoint, hook_prefix(i)));
  }
  return nn::TrainProgress::from_tensors(part(checkpoint, kProgress));
}

void check_checkpoint(const SafetensorsFile& checkpoint, const std::string& where) {
  const Tensors model = part(checkpoint, kModel);
  ESPALIER_CHECK(!model.empty() && !part(checkpoint, kProgress).empty(),
                 IoError,
                 where,
                 ": is not the checkpoint of a run");
  check_finite(model, where);
  checkpoint_seconds(checkpoint);
}

double checkpoint_seconds(const SafetensorsFile& checkpoint) {
  const auto text = checkpoint.metadata.find(kSeconds);
  ESPALIER_CHECK(
      text != checkpoint.metadata.end(), IoError, "checkpoint: holds no '", kSeconds, "'");
  double value = 0.0;
  const char* end = text->second.data() + text->second.size();
  ESPALIER_CHECK(std::from_chars(text->second.data(), end, value).ec == std::errc{},
                 IoError,
                 "checkpoint: '",
                 kSeconds,
                 "' is no number: ",
                 text->second);
  return value;
}

}  // namespace espalier::experiments
