// SPDX-License-Identifier: Apache-2.0
/// Batch: what a loader gives and a step of training takes.
#pragma once

#include <cstdint>

#include <espalier/core/tensor.h>

namespace espalier::data {

/// Images (N,C,H,W) float32 in the loader's layout, and labels int64 (N). Of a text: tokens, and
/// what follows each of them.
struct Batch {
  Tensor images;  ///< (N,C,H,W) float32; of a text (N,T) int64
  /// (N) int64; of a text (N*T), row by row. Of a mixed image the label of its larger part.
  Tensor labels;
  /// (N,K) float32, of K classes: the share that each label has of a sample, rows adding up to 1,
  /// where transforms mixed samples (augment/mixup.h); undefined where each has its one label.
  Tensor shares = {};
  /// Labels in the batch: samples, or tokens of a text.
  int64_t size() const { return labels.size(0); }
};

}  // namespace espalier::data
