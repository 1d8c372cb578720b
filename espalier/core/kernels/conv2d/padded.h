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

/// Rows first .. first+rows of `channels` planes (h x w vectors of 16 floats), from column `left`,
/// `cols` wide, to `out`; zero outside. copy(from, count of floats, to) copies what is inside.
template <class Copy>
void copy_padded_by(Copy copy,
                    const float* planes,
                    int64_t channels,
                    int64_t h,
                    int64_t w,
                    int64_t first,
                    int64_t rows,
                    int64_t left,
                    int64_t cols,
                    float* out) {
  const int64_t begin = std::clamp<int64_t>(-left, 0, cols);
  const int64_t end = std::clamp<int64_t>(w - left, begin, cols);
  const auto zero = [](float* p, int64_t n) {
    std::memset(p, 0, static_cast<size_t>(n * kLanes) * sizeof(float));
  };
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t r = 0; r < rows; ++r, out += cols * kLanes) {
      const int64_t row = first + r;
      if (row < 0 || row >= h) {
        zero(out, cols);
        continue;
      }
      zero(out, begin);
      copy(planes + ((c * h + row) * w + left + begin) * kLanes,
           (end - begin) * kLanes,
           out + begin * kLanes);
      zero(out + end * kLanes, cols - end);
    }
  }
}

/// The same, as it is.
inline void copy_padded(const float* planes,
                        int64_t channels,
                        int64_t h,
                        int64_t w,
                        int64_t first,
                        int64_t rows,
                        int64_t left,
                        int64_t cols,
                        float* out) {
  const auto plain = [](const float* from, int64_t n, float* to) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
  };
  copy_padded_by(plain, planes, channels, h, w, first, rows, left, cols, out);
}

/// The same of the channels from `channel` on, through a map unless that is null.
inline void copy_padded_mapped(const ChannelMap* map,
                               int64_t channel,
                               const float* planes,
                               int64_t channels,
                               int64_t h,
                               int64_t w,
                               int64_t first,
                               int64_t rows,
                               int64_t left,
                               int64_t cols,
                               float* out) {
  if (map == nullptr) {
    return copy_padded(planes, channels, h, w, first, rows, left, cols, out);
  }
  for (int64_t c = 0; c < channels; ++c) {
    const GateCoefficients k = coefficients_of(*map, channel + c);
    const auto mapped = [&](const float* from, int64_t n, float* to) {
      run_scale_shift(from, nullptr, n, k, to);
    };
    copy_padded_by(mapped, planes, 1, h, w, first, rows, left, cols, out);
    planes += h * w * kLanes;
    out += rows * cols * kLanes;
  }
}

}  // namespace espalier::detail
