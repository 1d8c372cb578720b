// SPDX-License-Identifier: Apache-2.0
/// Loader: batches of augmented, normalized samples, made ahead by worker threads. What a batch
/// holds depends on (seed, epoch, position) alone, never on the number of workers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <espalier/core/tensor.h>
#include <espalier/data/augment/transform.h>
#include <espalier/data/batch.h>
#include <espalier/data/dataset.h>
#include <espalier/data/transform.h>

namespace espalier::data {

/// What batches look like.
struct LoaderOptions {
  int64_t batch_size = 128;        ///< samples a batch
  bool shuffle = false;            ///< a new order in every epoch
  bool drop_last = false;          ///< leave out a last batch that is smaller
  Augmentation augmentation = {};  ///< of training images; none by default
  /// Further random changes, in this order, behind those of `augmentation`; none of texts.
  std::vector<std::shared_ptr<const Transform>> transforms = {};
  /// Per-channel normalization of pixels / 255; empty means the data set's own.
  std::vector<float> mean = {};
  std::vector<float> stddev = {};   ///< per channel, positive; empty means the data set's own
  Layout layout = Layout::Nchw16n;  ///< of `Batch::images`
  uint64_t seed = 0;                ///< of order and augmentation
  int workers = 1;                  ///< threads that prepare batches; 0 = in the caller's thread
  int prefetch = 4;                 ///< batches made ahead of the consumer, at least 1
};

/// Walks over a data set. Not thread-safe: one consumer.
///
/// The order of an epoch is a Philox permutation of (seed, epoch); what happens to a sample is a
/// function of (seed, epoch, index of the sample).
class Loader {
 public:
  /// Starts the workers, but no epoch. Throws ValueError for options that make no sense (batch
  /// size, workers, prefetch, normalization of another number of channels, a standard deviation not
  /// positive, a transform that is null, is there twice, or of a text).
  Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Batches an epoch: the last may be smaller, unless `drop_last`.
  int64_t batches() const;
  /// What it walks over.
  const Dataset& dataset() const;
  /// How batches are made, with nothing filled in: an empty mean stays empty.
  const LoaderOptions& options() const;
  /// Starts epoch `epoch` at batch `first_batch` (to resume in the middle of one); what was made
  /// ahead for another epoch is dropped. Throws ValueError when first_batch is not in 0..batches().
  void start_epoch(int64_t epoch, int64_t first_batch = 0);
  /// The next batch; empty at the end of the epoch. Rethrows what a worker threw while it made this
  /// batch; the call after that continues with the batch behind it. Throws ValueError before the
  /// first start_epoch.
  std::optional<Batch> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier::data
