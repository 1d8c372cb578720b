// SPDX-License-Identifier: Apache-2.0
/// Loader: batches of augmented, normalized samples, made ahead by worker threads. What a batch holds
/// depends on (seed, epoch, position) alone, never on the number of workers.
#pragma once

#include <memory>
#include <optional>

#include <espalier/core/tensor.h>
#include <espalier/data/dataset.h>

namespace espalier::data {

/// Random changes of a training image; all seeded per (seed, epoch, sample).
struct Augmentation {
  int64_t crop_padding = 0;     ///< zero-pad by this many pixels and cut a random window; 0 = off
  bool horizontal_flip = false; ///< mirror with probability 1/2
  int64_t cutout = 0;           ///< side of a square set to the mean; 0 = off. arXiv:1708.04552
};

/// What batches look like.
struct LoaderOptions {
  int64_t batch_size = 128;
  bool shuffle = false;
  bool drop_last = false;
  Augmentation augmentation = {};
  /// Per-channel normalization of pixels / 255; empty means the data set's own.
  std::vector<float> mean = {};
  std::vector<float> stddev = {};
  Layout layout = Layout::Nchw16n;
  uint64_t seed = 0;
  int workers = 1;           ///< threads that prepare batches; 0 = in the caller's thread
  int prefetch = 4;          ///< batches ready ahead
};

/// Images (N,C,H,W) float32 in the loader's layout, and labels int64 (N).
struct Batch {
  Tensor images;
  Tensor labels;
  int64_t size() const { return labels.size(0); }
};

/// Walks over a data set. Not thread-safe: one consumer.
class Loader {
 public:
  Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Batches an epoch.
  int64_t batches() const;
  const Dataset& dataset() const;
  const LoaderOptions& options() const;
  /// Starts epoch `epoch` at batch `first_batch` (to resume in the middle of one).
  void start_epoch(int64_t epoch, int64_t first_batch = 0);
  /// The next batch; empty at the end of the epoch. Rethrows what a worker threw.
  std::optional<Batch> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier::data
