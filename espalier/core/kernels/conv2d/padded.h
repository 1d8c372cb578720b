// SPDX-License-Identifier: Apache-2.0
/// Copies of input planes with zero columns around them, so that convolution kernels have no edges.
/// Not a public interface.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <espalier/core/kernels/batch_norm_runs.h>
#include <espalier/core/shape.h>

namespace espalier::detail {

inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// A part of planes of h x w vectors of 16 floats: `rows` from `first` on, of each `cols` from
/// `left` on. What lies outside of a plane is zero.
struct PaddedPart {
  int64_t h, w;
  int64_t first, rows;
  int64_t left, cols;
};

/// The part of one plane, to `out`. copy(from, count of floats, to) copies what is inside.
template <class Copy>
void copy_padded_plane(const PaddedPart& part, const float* plane, Copy copy, float* out) {
  const int64_t begin = std::clamp<int64_t>(-part.left, 0, part.cols);
  const int64_t end = std::clamp<int64_t>(part.w - part.left, begin, part.cols);
  const auto zero = [](float* p, int64_t n) {
    std::memset(p, 0, static_cast<size_t>(n * kLanes) * sizeof(float));
  };
  for (int64_t r = 0; r < part.rows; ++r, out += part.cols * kLanes) {
    const int64_t row = part.first + r;
    if (row < 0 || row >= part.h) {
      zero(out, part.cols);
      continue;
    }
    zero(out, begin);
    copy(plane + (row * part.w + part.left + begin) * kLanes,
         (end - begin) * kLanes,
         out + begin * kLanes);
    zero(out + end * kLanes, part.cols - end);
  }
}

/// The part of each of `channels` planes, one after another, to `out`; the first is channel
/// `channel` of the map of `planes`, if that has one.
inline void copy_padded(const PaddedPart& part,
                        const MappedFloats& planes,
                        int64_t channel,
                        int64_t channels,
                        float* out) {
  for (int64_t c = 0; c < channels; ++c) {
    const float* plane = planes.data + c * part.h * part.w * kLanes;
    float* to = out + c * part.rows * part.cols * kLanes;
    if (planes.map == nullptr) {
      const auto plain = [](const float* from, int64_t n, float* at) {
        std::memcpy(at, from, static_cast<size_t>(n) * sizeof(float));
      };
      copy_padded_plane(part, plane, plain, to);
    } else {
      const GateCoefficients k = coefficients_of(*planes.map, channel + c);
      const auto mapped = [&](const float* from, int64_t n, float* at) {
        run_scale_shift(from, nullptr, n, k, at);
      };
      copy_padded_plane(part, plane, mapped, to);
    }
  }
}

}  // namespace espalier::detail
