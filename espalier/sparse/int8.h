// SPDX-License-Identifier: Apache-2.0
/// Affine 8-bit numbers: grids, and weights on them. Zero is exact on every grid, so padding and
/// pruned weights stay zero. No layers here, and no kernels (kernels/int8_conv2d.h).
///
/// real = scale * (q - zero). Activations: unsigned, 0..255, one grid per tensor. Weights: signed,
/// -127..127, zero = 0, one scale per output channel; as q is symmetric, folding a batch norm's
/// factor into the weights before or after changes the scales alone, never q.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::sparse {

/// The grid of an activation tensor.
struct AffineGrid {
  float scale = 1.0F;  ///< above 0
  int32_t zero = 0;    ///< 0..255: the q of 0.0
  /// round(x / scale) + zero, halves to even, cut to 0..255.
  uint8_t quantize(float x) const;
  /// The number that q stands for.
  float dequantize(uint8_t q) const { return scale * static_cast<float>(q - zero); }
  bool operator==(const AffineGrid&) const = default;
};

/// The grid for values from `least` to `largest`, widened to hold 0: scale = (max - min) / 255,
/// zero = round(-min / scale). A range of nothing but 0 gets scale 1. Throws ValueError when the
/// limits are not finite or not in order.
AffineGrid affine_grid(double least, double largest);

/// A weight (K, ..) on symmetric grids, with what kernels need of it.
struct Int8Weight {
  Shape shape;                ///< of the float weight
  std::vector<int8_t> q;      ///< in the weight's order
  std::vector<float> scale;   ///< by output channel: max|w| / 127; 1 for a channel of zeros
  std::vector<int32_t> sums;  ///< by output channel: sum of q
  int64_t nonzero() const;    ///< entries that are not zero: at most the float weight's
};

/// Rounds a float32 weight of rank >= 1, plain and contiguous: q = round(w / scale), halves to
/// even. Zeros stay zero. Throws TypeError; ValueError for values that are not finite, and when a
/// channel has so many weights that an int32 sum could overflow.
Int8Weight quantize_weight(const Tensor& weight);
/// The rounded weight in float32.
Tensor dequantize(const Int8Weight& weight);

}  // namespace espalier::sparse
