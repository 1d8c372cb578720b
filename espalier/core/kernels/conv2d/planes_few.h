// SPDX-License-Identifier: Apache-2.0
/// Dense convolution of one sample whose output planes have few positions, and the linear layer:
/// pixels would leave most lanes empty, so output channels stand in them. Such layers are bound by
/// reading their weights, once; as bfloat16 these are half of the bytes. Larger planes: planes.h.
/// Not a public interface.
#pragma once

#include <vector>

#include <espalier/core/kernels/conv2d/planes.h>

namespace espalier::detail {

/// Positions of an output plane at most: of float32 weights, where other kernels are faster from
/// there on, and of bfloat16.
inline constexpr int64_t kFewPositions = 4;
inline constexpr int64_t kMostPositions = 16;

/// How weights lie in memory.
enum class WeightsAs : uint8_t { Float32, BFloat16 };

/// y[k][p] = sum over entries e of weights[k / 16][e][k % 16] * x[e][p], 16 channels of a block.
struct FewJob {
  const float* weights;  ///< of the block, 64-byte aligned; null: `bits`
  const uint16_t* bits;  ///< the same as bfloat16, 32-byte aligned
  const float* x;
  int64_t entries;
  int64_t positions;  ///< 1 to 4, 8, 12, 16
  float* sums;        ///< [position][16]
};
using FewFn = void (*)(const FewJob& job);
/// The kernel of the SIMD target in use.
FewFn few_kernel();

/// The convolution with its weights packed at construction; runs in tasks as DensePlanes does.
class FewPlanes {
 public:
  /// Whether a convolution has so few positions (and one group).
  static bool fits(const Conv2dShape& shape, WeightsAs as = WeightsAs::Float32);
  /// Rounds the weights to bfloat16 where asked to.
  FewPlanes(const Conv2dShape& shape, const float* weight, WeightsAs as = WeightsAs::Float32);

  /// Floats of the scratch between `fill` and `run`.
  int64_t scratch_size() const { return entries_ * places_; }
  /// Arranges the whole input: what each tap of each position reads.
  void fill(const float* x, float* scratch) const;
  /// Tasks of one block of 16 output channels each.
  int64_t tasks() const;
  /// `operands.weight` is not used.
  void run(int64_t task, const PlanesOperands& operands, const float* scratch) const;
  int64_t nbytes() const { return packed_.nbytes(); }

 private:
  Conv2dShape shape_;
  int64_t positions_;
  int64_t places_;                // of the kernel: positions, and zeros up to one of its sizes
  int64_t entries_ = 0;           // input channels x taps
  std::vector<int32_t> sources_;  // by tap and place, in a plane of x; -1: padding
  Tensor packed_;                 // float32, or uint8 pairs of bfloat16
  FewFn kernel_ = few_kernel();
};

}  // namespace espalier::detail
