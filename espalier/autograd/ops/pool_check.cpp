// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops/pool_check.h>

#include <algorithm>

namespace espalier::detail {
namespace {

std::string text(const Pair& pair) {
  return pair.h == pair.w ? cat(pair.h) : cat(pair.h, "x", pair.w);
}

}  // namespace

PoolOptions checked(PoolOptions o, std::string_view op) {
  if (o.stride.h == 0) o.stride.h = o.kernel.h;
  if (o.stride.w == 0) o.stride.w = o.kernel.w;
  const bool in_range =
      std::min({o.kernel.h, o.kernel.w, o.stride.h, o.stride.w, o.dilation.h, o.dilation.w}) >= 1 &&
      std::min(o.padding.h, o.padding.w) >= 0 && o.padding.h <= o.kernel.h / 2 &&
      o.padding.w <= o.kernel.w / 2;
  ESPALIER_CHECK(in_range,
                 ValueError,
                 op,
                 ": expects kernel >= 1, stride >= 1, dilation >= 1 and 0 <= padding <= kernel/2, "
                 "got kernel ",
                 text(o.kernel),
                 ", stride ",
                 text(o.stride),
                 ", padding ",
                 text(o.padding),
                 ", dilation ",
                 text(o.dilation));
  return o;
}

PoolWindows windows_of(const Shape& x, const PoolOptions& options, std::string_view op) {
  check_planes(x, op);
  const PoolOptions o = checked(options, op);
  PoolWindows windows;
  windows.row_step = o.dilation.h;
  windows.col_step = o.dilation.w;
  windows.rows = sliding_windows(x[2],
                                 {.kernel = o.kernel.h,
                                  .stride = o.stride.h,
                                  .padding = o.padding.h,
                                  .dilation = o.dilation.h,
                                  .ceil = o.ceil_mode,
                                  .counts_padding = o.count_include_pad});
  windows.cols = sliding_windows(x[3],
                                 {.kernel = o.kernel.w,
                                  .stride = o.stride.w,
                                  .padding = o.padding.w,
                                  .dilation = o.dilation.w,
                                  .ceil = o.ceil_mode,
                                  .counts_padding = o.count_include_pad});
  const std::string dilated =
      o.dilation == Pair(1) ? std::string() : cat(" and dilation ", text(o.dilation));
  ESPALIER_CHECK(!windows.rows.empty() && !windows.cols.empty(),
                 ShapeError,
                 op,
                 ": the kernel of ",
                 text(o.kernel),
                 dilated,
                 " is larger than the plane of ",
                 x,
                 " with padding ",
                 text(o.padding));
  const auto empty = [](const Window& window) { return window.begin >= window.end; };
  ESPALIER_CHECK(
      std::ranges::none_of(windows.rows, empty) && std::ranges::none_of(windows.cols, empty),
      ShapeError,
      op,
      ": a window of kernel ",
      text(o.kernel),
      dilated,
      " steps over the whole plane of ",
      x,
      "; a smaller padding or dilation helps");
  return windows;
}

OpAttributes pool_attributes(const PoolOptions& options) {
  const PoolOptions o = checked(options, "pool");
  return {{"kernel", OpAttributes::list(o.kernel)},
          {"stride", OpAttributes::list(o.stride)},
          {"padding", OpAttributes::list(o.padding)},
          {"dilation", OpAttributes::list(o.dilation)},
          {"ceil_mode", int64_t{o.ceil_mode}},
          {"count_include_pad", int64_t{o.count_include_pad}}};
}

PoolOptions pool_options(const OpAttributes& attributes) {
  return {.kernel = attributes.pair("kernel"),
          .stride = attributes.pair("stride"),
          .padding = attributes.pair("padding"),
          .dilation = attributes.pair("dilation"),
          .ceil_mode = attributes.flag("ceil_mode"),
          .count_include_pad = attributes.flag("count_include_pad")};
}

}  // namespace espalier::detail
