// SPDX-License-Identifier: Apache-2.0
/// The gradients of a sparse convolution at kept positions, in the order of dx or in that of dy.
/// Not a public interface.
#pragma once

#include <cstdint>
#include <vector>

#include <espalier/core/kernels/batch_norm.h>
#include <espalier/core/kernels/channel_map.h>
#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse {

/// Whether a result replaces the content of its tensor or is added to it.
enum class Result : uint8_t { Replaces, Adds };

namespace detail {}  // namespace detail

/// The ReLU of a map through which x is read, undone as dx is written: g, which is dx where the map
/// gave more than 0 and else 0, stands in dx, and its sums per channel are what normalization's
/// backward pass asks for first (core/kernels/batch_norm.h, gated_sums).
struct GatedResult {
  const std::vector<double>& center;  ///< (C), near the mean of x
  ChannelSums sums = {};              ///< of g and of g * (x - center); written
};

namespace detail {

/// Of a backward pass, checked. What is not wanted is null; dx alone is replaced.
struct BackwardOperands {
  const Tensor* x = nullptr;          ///< read for dweight
  const ChannelMap* x_map = nullptr;  ///< through which x is read; null: as it is
  const Tensor& dy;
  const Tensor* weight = nullptr;  ///< read for dx; dense, or its kept values
  Tensor* dx = nullptr;
  Result dx_result = Result::Replaces;
  Tensor* dweight = nullptr;  ///< (nnz), replaced
  /// Null: dx is what it is. Else dx and dweight are wanted, dx replaced, and x_map has a ReLU.
  GatedResult* gate = nullptr;
};

/// Zeros for so many channels.
inline ChannelSums no_sums(int64_t channels) {
  const std::vector<double> zeros(static_cast<size_t>(channels), 0.0);
  return {zeros, zeros};
}
/// Adds `parts` (shares, channels, 32), of each 16 lanes of g and 16 of g * (x - center), in order.
inline void add_lane_sums(const Tensor& parts, ChannelSums& sums) {
  const float* part = parts.data<float>();
  for (int64_t share = 0; share < parts.size(0); ++share) {
    for (size_t c = 0; c < sums.g.size(); ++c, part += 32) {
      for (int lane = 0; lane < 16; ++lane) {
        sums.g[c] += static_cast<double>(part[lane]);
        sums.g_x[c] += static_cast<double>(part[16 + lane]);
      }
    }
  }
}

/// Weights one by one, in the order of dx: seen from an input position both gradients need the same
/// vectors of dy, dx[c] += w * dy and dw += x[c] * dy, so one pass over dy serves both (the
/// weight's gradient is a sampled dense-dense product, SDDMM). `dweight` must be wanted: dx alone
/// is a forward pass. Bits don't depend on the thread count.
void backward_by_entries(const Conv2dShape& shape,
                         const Support& support,
                         const BackwardOperands& of);

/// Blocks of four output channels, in the order of dy. Bits don't depend on the thread count.
///
/// Source  ours: performance is bound by loads in the order of input channels, where every product
///         of dx reads a vector of dy; in the order of dy, four channels share those of x and dx.
void backward_in_blocks(const Conv2dShape& shape,
                        const Support& support,
                        const BackwardOperands& of);

}  // namespace detail

}  // namespace espalier::sparse
