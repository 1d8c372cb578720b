// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/inputs/scoring_batches.h>

#include <espalier/core/random.h>
#include <espalier/experiments/inputs/recipe.h>

namespace espalier::experiments {
namespace {

data::LoaderOptions loader_options(const TrainSettings& settings, const data::Dataset& dataset) {
  data::LoaderOptions out = training_loader(settings, dataset);
  out.workers = 0;
  return out;
}

}  // namespace

ScoringBatches::ScoringBatches(const std::shared_ptr<const data::Dataset>& dataset,
                               const TrainSettings& settings)
    : loader_(std::make_shared<data::Loader>(dataset, loader_options(settings, *dataset))),
      seed_(Rng(static_cast<uint64_t>(settings.training.seed), "scoring").fork(0).state().seed),
      noise_(settings.run.scoring_input == ScoringInput::Noise) {}

data::Batch ScoringBatches::operator()(int64_t index) const {
  const int64_t batches = loader_->batches();
  loader_->start_epoch(index / batches, index % batches);
  data::Batch batch = *loader_->next();
  return noise_ ? noise_like(batch, index) : batch;
}

data::Batch ScoringBatches::noise_like(const data::Batch& batch, int64_t index) const {
  Rng rng = Rng(seed_, "scoring noise").fork(static_cast<uint64_t>(index));
  Tensor images = Tensor::zeros(batch.images.shape());
  fill_normal_(images, rng);
  Tensor labels = Tensor::zeros(batch.labels.shape(), DType::I64);
  const auto classes = static_cast<uint64_t>(loader_->dataset().class_names().size());
  for (int64_t i = 0; i < labels.numel(); ++i) {
    labels.data<int64_t>()[i] = static_cast<int64_t>(rng.below(classes));
  }
  return {images.to(batch.images.layout()), labels};
}

}  // namespace espalier::experiments
