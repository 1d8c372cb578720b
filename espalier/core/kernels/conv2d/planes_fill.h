// SPDX-License-Identifier: Apache-2.0
/// The copies that PlanesInput describes, made with vector instructions. Not a public interface.
#pragma once

#include <cstdint>
#include <vector>

#include <espalier/core/kernels/conv2d/conv2d.h>

namespace espalier::detail {

/// One copy of a channel's plane: row j holds x's row (j + first) * step.h + phase, and column i
/// its column i * step.w + left; zero outside.
struct PlanesCopy {
  int64_t phase, first, rows, left;
  int64_t at;  ///< offset in the channel
};

/// What makes the copies of a channel, one after another without gaps. Where a copy is a shifted
/// line of the whole plane it is one pass under a mask, else row by row. Writes ahead of itself
/// within a channel: what is written too far is written again.
class PlanesFill {
 public:
  PlanesFill() = default;
  /// `plane`: of x. Rows of all copies have `pitch` floats, channels `channel_stride`.
  PlanesFill(std::vector<PlanesCopy> copies,
             const Pair& plane,
             const Pair& step,
             int64_t pitch,
             int64_t channel_stride);

  /// Channels [first, last) of x to their places in `out`.
  void run(const float* x, int64_t first, int64_t last, float* out) const;

  // For the kernels.
  std::vector<PlanesCopy> copies;
  Pair plane, step;
  int64_t pitch = 0;
  int64_t channel_stride = 0;
  /// By copy and position, or by copy and column: all bits set where x has what belongs there.
  std::vector<std::vector<uint32_t>> masks;
  bool lines = false;  ///< copies are whole lines, masked by position
  bool near = false;   ///< vectors that begin anywhere in a copy read within the slack of x

 private:
  using Fn = void (*)(const PlanesFill& fill, const float* x, float* out);
  Fn kernel_ = nullptr;
};

}  // namespace espalier::detail
