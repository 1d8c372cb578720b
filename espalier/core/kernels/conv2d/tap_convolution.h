// SPDX-License-Identifier: Apache-2.0
/// Forward and backward-data as one problem, the *tap convolution*: y[k][i,j] = sum over c and taps
/// t of w[k][c][t] * x[c][i*step + dh_t, j*step + dw_t]. Dense and sparse kernels share it. Not a
/// public interface.
#pragma once

#include <vector>

#include <espalier/core/kernels/conv2d/conv2d.h>

namespace espalier::detail {

/// One position of the kernel, seen from an output position.
struct Tap {
  int64_t dh, dw;
  int64_t index;  ///< r*S + s in the weight
};

/// A grid of output positions that lies in its plane at first + i*out_step. Taps are sorted by dh,
/// up or down.
struct TapConvolution {
  int64_t in_channels, in_h, in_w;  ///< of one group
  int64_t out_channels;             ///< of one group
  int64_t grid_h, grid_w;
  Pair in_step, out_step, out_first;
  int64_t plane_h, plane_w;  ///< the whole output plane
  int64_t groups;
  std::vector<Tap> taps;
};

/// The taps' reach around a position.
struct Window {
  int64_t top, bottom, left, right;
  explicit Window(const std::vector<Tap>& taps);
  int64_t height() const { return bottom - top + 1; }
  int64_t width() const { return right - left + 1; }
};

/// x (N,C,H,W) to y (N,K,P,Q).
TapConvolution forward_taps(const Conv2dShape& shape);

/// dy (N,K,P,Q) to dx (N,C,H,W): with stride s one tap convolution for each of the s*s parity
/// classes of the plane. Classes that no tap reaches are left out (their dx is 0); `all_reached`
/// tells.
struct BackwardDataTaps {
  std::vector<TapConvolution> classes;
  bool all_reached = true;
};
BackwardDataTaps backward_data_taps(const Conv2dShape& shape);

}  // namespace espalier::detail
