// SPDX-License-Identifier: Apache-2.0
/// Dense convolution of one sample whose output planes have one to four positions, and the linear
/// layer: pixels would leave most lanes empty, so output channels stand in them. Such layers are
/// bound by reading their weights, once. Larger planes: conv2d_planes.h. Not a public interface.
#pragma once

#include <vector>

#include <espalier/core/kernels/conv2d/planes.h>

namespace espalier::detail {

/// Positions of an output plane at most.
inline constexpr int64_t kFewPositions = 4;

/// y[k][p] = sum over entries e of weights[k / 16][e][k % 16] * x[e][p], 16 channels of a block.
struct FewJob {
  const float* weights;  ///< of the block, 64-byte aligned
  const float* x;
  int64_t entries;
  int64_t positions;
  float* sums;  ///< [position][16]
};
using FewFn = void (*)(const FewJob& job);
/// The kernel of the SIMD target in use.
FewFn few_kernel();

/// The convolution with its weights packed at construction; runs in tasks as DensePlanes does.
class FewPlanes {
 public:
  /// Whether a convolution has so few positions (and one group).
  static bool fits(const Conv2dShape& shape);
  FewPlanes(const Conv2dShape& shape, const float* weight);

  /// Floats of the scratch between `fill` and `run`.
  int64_t scratch_size() const { return entries_ * positions_; }
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
  int64_t entries_ = 0;           // input channels x taps
  std::vector<int32_t> sources_;  // by tap and position, in a plane of x; -1: padding
  Tensor packed_;
  FewFn kernel_ = few_kernel();
};

}  // namespace espalier::detail
