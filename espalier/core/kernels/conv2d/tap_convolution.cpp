// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/tap_convolution.h>

#include <algorithm>

namespace espalier::detail {

Window::Window(const std::vector<Tap>& taps) {
  top = bottom = taps.front().dh;
  left = right = taps.front().dw;
  for (const Tap& tap : taps) {
    top = std::min(top, tap.dh);
    bottom = std::max(bottom, tap.dh);
    left = std::min(left, tap.dw);
    right = std::max(right, tap.dw);
  }
}

TapConvolution forward_taps(const Conv2dShape& shape) {
  const Conv2dOptions& o = shape.options;
  TapConvolution conv{.in_channels = shape.c / o.groups,
                      .in_h = shape.h,
                      .in_w = shape.w,
                      .out_channels = shape.k / o.groups,
                      .grid_h = shape.p,
                      .grid_w = shape.q,
                      .in_step = o.stride,
                      .out_step = 1,
                      .out_first = 0,
                      .plane_h = shape.p,
                      .plane_w = shape.q,
                      .groups = o.groups,
                      .taps = {}};
  for (int64_t r = 0; r < shape.r; ++r) {
    for (int64_t s = 0; s < shape.s; ++s) {
      conv.taps.push_back(
          {r * o.dilation.h - o.padding.h, s * o.dilation.w - o.padding.w, r * shape.s + s});
    }
  }
  return conv;
}

BackwardDataTaps backward_data_taps(const Conv2dShape& shape) {
  const Conv2dOptions& o = shape.options;
  BackwardDataTaps out;
  for (int64_t ph = 0; ph < std::min(o.stride.h, shape.h); ++ph) {
    for (int64_t pw = 0; pw < std::min(o.stride.w, shape.w); ++pw) {
      TapConvolution conv{.in_channels = shape.k / o.groups,
                          .in_h = shape.p,
                          .in_w = shape.q,
                          .out_channels = shape.c / o.groups,
                          .grid_h = (shape.h - ph + o.stride.h - 1) / o.stride.h,
                          .grid_w = (shape.w - pw + o.stride.w - 1) / o.stride.w,
                          .in_step = 1,
                          .out_step = o.stride,
                          .out_first = Pair(ph, pw),
                          .plane_h = shape.h,
                          .plane_w = shape.w,
                          .groups = o.groups,
                          .taps = {}};
      for (int64_t r = 0; r < shape.r; ++r) {
        // x row ph + i*stride meets y row i + dh through kernel row r when the division is exact.
        const int64_t h = ph + o.padding.h - r * o.dilation.h;
        if (h % o.stride.h != 0) continue;
        for (int64_t s = 0; s < shape.s; ++s) {
          const int64_t w = pw + o.padding.w - s * o.dilation.w;
          if (w % o.stride.w != 0) continue;
          conv.taps.push_back({h / o.stride.h, w / o.stride.w, r * shape.s + s});
        }
      }
      if (conv.taps.empty()) {
        out.all_reached = false;
      } else {
        out.classes.push_back(std::move(conv));
      }
    }
  }
  return out;
}

}  // namespace espalier::detail
