// SPDX-License-Identifier: Apache-2.0
/// Convolution of one sample at listed output positions only, each output channel with positions of
/// its own, summed over all input channels but those of one part: the conditional path of channel
/// gating. The input is copied with channels innermost, so that a position's window is a few
/// contiguous runs, and eight positions share each load of a weight. Not a public interface.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <espalier/core/kernels/conv2d/conv2d.h>

namespace espalier::detail {

/// Sums for one layer. Output channels fall into `parts` equal groups; group g leaves out part g of
/// the input channels. Thread-safe after its construction.
class ConvAtPositions {
 public:
  /// Packs the weight (K,C,R,S), in plain order. `shape` has groups 1 and channels that `parts`
  /// divides; its batch size does not matter.
  ConvAtPositions(const Conv2dShape& shape, const float* weight, int64_t parts);

  /// Floats of the copy of the input.
  int64_t scratch_size() const { return rows_ * cols_ * shape_.c + kSlack; }
  /// Rows of that copy, padding included.
  int64_t rows() const { return rows_; }
  /// Copies x (C,H,W) into rows first .. last of the scratch; all rows must be there before `add`.
  void fill(const float* x, int64_t first, int64_t last, float* scratch) const;

  /// y[p] += sum over the channels that k's group does not leave out, at each position p (row * Q +
  /// column) of output channel k. y has (P,Q).
  void add(int64_t k, const float* scratch, std::span<const int32_t> positions, float* y) const;
  /// Multiply-accumulates of one position.
  int64_t macs() const { return (shape_.c - shape_.c / parts_) * shape_.r * shape_.s; }
  /// Bytes of the packed weights and their places.
  int64_t nbytes() const;

 private:
  /// Sums of one packed weight over the windows of up to eight positions.
  using WindowDots = void (*)(const float* weights,
                              const int32_t* offsets,
                              int64_t vectors,
                              const float* const* windows,
                              int64_t count,
                              float* sums);
  /// A row of the input with channels innermost.
  using InterleaveRow =
      void (*)(const float* x, int64_t plane, int64_t width, int64_t channels, float* out);

  static constexpr int64_t kSlack = 16;  // a run's last vector reaches over its end

  Conv2dShape shape_;
  int64_t parts_;
  int64_t rows_, cols_;
  std::vector<std::vector<int32_t>> offsets_;  // by group: of vectors of 16 in a window
  std::vector<std::vector<float>> weights_;    // by group: its channels, the vectors' weights
  WindowDots dots_;                            // of the SIMD target in use
  InterleaveRow interleave_;                   // too
};

}  // namespace espalier::detail
