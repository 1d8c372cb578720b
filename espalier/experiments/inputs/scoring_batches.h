// SPDX-License-Identifier: Apache-2.0
/// What methods that score from data see.
#pragma once

#include <memory>

#include <espalier/data/loader.h>
#include <espalier/experiments/settings/train_settings.h>

namespace espalier::experiments {

/// The batches that training sees, augmented and in its order, as `fit` gives them to a pruner that
/// brings none: statistics and scores of images that are not augmented are those of other data. A
/// pure function of `seed` and the index. With `scoring-input` noise they keep the shapes only:
/// normal pixels (the data are normalized), random labels.
class ScoringBatches {
 public:
  /// `dataset` is the training split.
  ScoringBatches(const std::shared_ptr<const data::Dataset>& dataset,
                 const TrainSettings& settings);

  /// The batch of an index from 0; after the last batch of the split the next epoch begins.
  data::Batch operator()(int64_t index) const;
  /// Batches in which every sample comes once; 0 for noise, of which there is no end.
  int64_t batches() const { return noise_ ? 0 : loader_->batches(); }

 private:
  data::Batch noise_like(const data::Batch& batch, int64_t index) const;

  std::shared_ptr<data::Loader> loader_;
  uint64_t seed_;  // of noise
  bool noise_;
};

}  // namespace espalier::experiments
