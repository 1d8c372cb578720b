// SPDX-License-Identifier: Apache-2.0
/// From bytes to a batch: normalization by table, written straight into the lanes of the batch
/// tensor.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include <espalier/core/tensor.h>
#include <espalier/data/dataset.h>

namespace espalier::data {

/// value[c][byte] = (byte / 255 - mean[c]) / stddev[c], rounded once from float64.
class Normalizer {
 public:
  /// Throws ValueError when the sizes differ or a standard deviation is not positive.
  Normalizer(const std::vector<float>& mean, const std::vector<float>& stddev);

  /// As many as means were given.
  int64_t channels() const { return static_cast<int64_t>(tables_.size()); }
  /// The normalized value of a byte.
  float value(int64_t channel, uint8_t byte) const {
    return tables_[static_cast<size_t>(channel)][byte];
  }

  /// Writes `count` (1..16) images, C*H*W bytes each and one after the other in `images`, as
  /// samples first .. first+count-1 of `batch` (N,C,H,W) float32. `first` is a multiple of 16. In
  /// `Nchw16n` the other lanes of the block become zero.
  void fill(std::span<const uint8_t> images,
            const ImageShape& shape,
            int64_t first,
            int64_t count,
            Tensor& batch) const;

 private:
  std::vector<std::array<float, 256>> tables_;
};

}  // namespace espalier::data
