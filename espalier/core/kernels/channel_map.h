// SPDX-License-Identifier: Apache-2.0
/// What normalization does to its input, for kernels that do it while they read, so that its output
/// needs no memory of its own.
#pragma once

#include <vector>

#include <espalier/core/tensor.h>

namespace espalier {

/// y = scale[c] * x + shift[c] for each channel c, then max(y, 0) when `relu`; a NaN stays one.
/// Rounded as by `scale_shift` (batch_norm.h).
struct ChannelMap {
  std::vector<double> scale = {};  ///< (C)
  std::vector<double> shift = {};  ///< (C)
  bool relu = false;               ///< negative values become 0
};

/// A tensor (N,C,..) that a kernel reads through a map. Neither is owned.
struct MappedTensor {
  const Tensor& tensor;             ///< what is in memory
  const ChannelMap* map = nullptr;  ///< null: read as it is

  /// As it is.
  MappedTensor(const Tensor& plain) : tensor(plain) {}  // NOLINT: implicit on purpose
  /// Through `own_map`.
  MappedTensor(const Tensor& plain, const ChannelMap* own_map) : tensor(plain), map(own_map) {}
};

/// The same, for float32 as memory: kernels' argument.
struct MappedFloats {
  const float* data;
  const ChannelMap* map = nullptr;

  MappedFloats(const float* plain) : data(plain) {}  // NOLINT: implicit on purpose
  MappedFloats(const float* plain, const ChannelMap* own_map) : data(plain), map(own_map) {}
  explicit MappedFloats(const MappedTensor& x) : data(x.tensor.data<float>()), map(x.map) {}
};

}  // namespace espalier
