// SPDX-License-Identifier: Apache-2.0
/// What a method may use besides the model: data, loss, seed.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include <espalier/nn/train/fit.h>

namespace espalier::prune {

/// What a method may use besides the model. Data-free methods need none of it.
struct PruneInputs {
  /// Batch `index` of the data for scoring, augmented as in training: a pure function of the index.
  /// Empty: inside of `fit()` the training's own batches, elsewhere none.
  std::function<data::Batch(int64_t index)> batch = {};
  /// Batches of `batch` in which every sample comes once; later ones are the same samples again. 0:
  /// nobody knows.
  int64_t batches = 0;
  /// `batch` is the same for every index, as when somebody hands over the samples to score with:
  /// all of them are used, once.
  bool single_batch = false;
  /// What is trained on, from which searches set samples apart. Empty: inside of `fit()` the
  /// training's own.
  std::shared_ptr<const data::Dataset> dataset = {};
  data::LoaderOptions loading = {};  ///< how training makes batches of `dataset`
  /// Mean loss of (logits, labels); empty means cross-entropy.
  std::function<Variable(const Variable&, const Tensor&)> loss = {};
  /// (C,H,W) of a sample, (T) of a text's; needed by the pattern `channel`, which traces the model,
  /// and by scores that look at made-up data. Empty: inside of `fit()` that of the training's own
  /// images.
  Shape input_shape = {};
  /// A newly initialized model of the same architecture; needed by Ablation::Reinit.
  std::function<std::unique_ptr<nn::Module>(uint64_t seed)> fresh_model = {};
  uint64_t seed = 0;  ///< of everything random
  /// Where measured times are kept, so that a killed run that starts anew decides alike. Empty: in
  /// memory only.
  std::filesystem::path measurements = {};
  /// Where a search keeps what it has tried, so that a killed run that starts anew goes on from
  /// there. Empty: it is done again, with the same result.
  std::filesystem::path search = {};
};

/// Batches as the training's loader makes them, by index, from a loader of their own on the same
/// data set. Valid while `loader` lives.
std::function<data::Batch(int64_t index)> batches_like(const data::Loader& loader);

/// (C,H,W) of a data set's images, or (T) of its texts.
Shape sample_shape(const data::Dataset& dataset);

/// `inputs` with what is empty in them taken from the training: its batches, its images' shape.
PruneInputs inputs_of_training(PruneInputs inputs, const nn::TrainState& state);

/// Sets parameters and buffers from tensors by name; masks stay, and what they remove is zero.
void set_values(nn::Module& model, const std::map<std::string, Tensor>& values);
/// The same with those of `inputs.fresh_model`; equal `draw`s give equal weights. Throws ValueError
/// when `inputs.fresh_model` is empty.
void set_fresh_values(nn::Module& model, const PruneInputs& inputs, int64_t draw);

}  // namespace espalier::prune
