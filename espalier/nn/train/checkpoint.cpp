// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/checkpoint.h>

#include <espalier/core/finite.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/train/detail/named_tensors.h>

namespace espalier::nn {
namespace {

using detail::add_tensors;
using detail::tensors_under;
using Tensors = std::map<std::string, Tensor>;

constexpr const char* kModel = "model/";
constexpr const char* kRandom = "random/";
constexpr const char* kOptimizer = "optimizer/";
constexpr const char* kProgress = "progress/";
// Of the newest step: hooks that run between it and the next ask for it.
constexpr const char* kRate = "learning_rate";

std::string hook_prefix(size_t index) {
  return cat("hook", index, "/");
}

}  // namespace

SafetensorsFile take_checkpoint(const TrainingParts& parts, const TrainProgress& progress) {
  SafetensorsFile file;
  add_tensors(file.tensors, kModel, parts.model.state_dict());
  add_tensors(file.tensors, kRandom, parts.model.rng_state());
  add_tensors(file.tensors, kOptimizer, parts.optimizer.state_dict());
  file.tensors.emplace(kRate, Tensor::scalar(parts.optimizer.lr(), DType::F64));
  add_tensors(file.tensors, kProgress, progress.to_tensors());
  for (size_t i = 0; i < parts.hooks.size(); ++i) {
    add_tensors(file.tensors, hook_prefix(i), parts.hooks[i]->state());
  }
  return file;
}

TrainProgress restore_checkpoint(const SafetensorsFile& checkpoint, const TrainingParts& parts) {
  const Tensors& all = checkpoint.tensors;
  const auto more = std::ranges::find_if(all, [&](const auto& item) {
    if (!item.first.starts_with("hook")) return false;
    for (size_t i = 0; i < parts.hooks.size(); ++i) {
      if (item.first.starts_with(hook_prefix(i))) return false;
    }
    return true;
  });
  ESPALIER_CHECK(more == all.end(),
                 ValueError,
                 "checkpoint: holds the state of another hook, '",
                 more == all.end() ? "" : more->first,
                 "', but ",
                 parts.hooks.size(),
                 " hooks are given; give all hooks of the training in the order of its list");
  const Tensors model = tensors_under(all, kModel);
  take_off_folded(parts.model, model);
  parts.optimizer.forget_missing(parts.model);
  parts.model.load_state_dict(model);
  parts.model.load_rng_state(tensors_under(all, kRandom));
  parts.optimizer.load_state_dict(tensors_under(all, kOptimizer));
  // Files of earlier versions do without.
  if (const auto rate = all.find(kRate); rate != all.end()) {
    parts.optimizer.set_lr(rate->second.item());
  }
  for (size_t i = 0; i < parts.hooks.size(); ++i) {
    parts.hooks[i]->load_state(tensors_under(all, hook_prefix(i)));
  }
  return TrainProgress::from_tensors(tensors_under(all, kProgress));
}

void check_checkpoint(const SafetensorsFile& checkpoint, const std::string& where) {
  const Tensors model = tensors_under(checkpoint.tensors, kModel);
  ESPALIER_CHECK(!model.empty() && !tensors_under(checkpoint.tensors, kProgress).empty(),
                 IoError,
                 where,
                 ": is not the checkpoint of a run");
  check_finite(model, where);
}

void save_checkpoint(const std::filesystem::path& path,
                     const TrainingParts& parts,
                     const TrainProgress& progress) {
  save_safetensors(path, take_checkpoint(parts, progress));
}

TrainProgress load_checkpoint(const std::filesystem::path& path, const TrainingParts& parts) {
  const SafetensorsFile file = load_safetensors(path);
  check_checkpoint(file, path.string());
  return restore_checkpoint(file, parts);
}

}  // namespace espalier::nn
