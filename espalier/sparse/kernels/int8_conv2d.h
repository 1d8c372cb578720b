// SPDX-License-Identifier: Apache-2.0
/// Convolution in 8-bit integers: uint8 activations times int8 weights, summed in int32, at the
/// cost of the weights that are not zero. Forward only; nothing is recorded here.
///
///   y = scale_x scale_w[k] (sum q_x q_w - zero_x sum q_w) + bias[k]
///
/// Padding is the activation's zero, so it adds nothing. Weights are taken four input channels at a
/// time (a block of one tap); a block of zeros costs nothing, one with any kept weight costs one
/// instruction for four times sixteen products (vpdpbusd, without saturation) where there is
/// AVX-512 VNNI, and plain loops elsewhere. Sums are exact, so the result does not depend on the
/// kernel or the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/sparse/int8.h>

namespace espalier::sparse {

/// The blocks of a weight that are not zero, by output channel, then tap, then input channels.
struct Int8Blocks {
  std::vector<int32_t> first;    ///< by output channel: its first block; one more at the end
  std::vector<int32_t> channel;  ///< of four input channels: which
  std::vector<int16_t> row;      ///< tap
  std::vector<int16_t> column;   ///< tap
  std::vector<int32_t> weights;  ///< four int8, the lowest channel in the lowest byte
  int64_t size() const { return static_cast<int64_t>(weights.size()); }
};

/// Blocks of a weight (K,C/groups,R,S). Throws ShapeError for another rank, ValueError when groups
/// don't divide K.
Int8Blocks int8_blocks(const Int8Weight& weight, int64_t groups);

/// y (N,K,P,Q) float32 from x (N,C,H,W) float32, both in `Nchw16n`; x is rounded to `grid` on the
/// way in. `bias` (K) float32 or undefined. `blocks` are those of `weight`. y is overwritten, its
/// padding lanes are zero. Counts four MACs a block, position and sample. Threads: rows of output.
/// Throws ShapeError, TypeError.
void int8_conv2d(const Conv2dShape& shape,
                 const Tensor& x,
                 const AffineGrid& grid,
                 const Int8Weight& weight,
                 const Int8Blocks& blocks,
                 const Tensor& bias,
                 Tensor& y);

/// The kernel that int8_conv2d runs on this machine: `avx512-vnni` or `portable`.
const char* int8_kernel();

/// The same by plain loops over all weights, zeros too: the oracle of the tests.
namespace reference {
void int8_conv2d(const Conv2dShape& shape,
                 const Tensor& x,
                 const AffineGrid& grid,
                 const Int8Weight& weight,
                 const Tensor& bias,
                 Tensor& y);
}  // namespace reference

}  // namespace espalier::sparse
