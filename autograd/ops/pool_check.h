// SPDX-License-Identifier: Apache-2.0
/// The argument checks that the pooling ops share. Not a public interface.
#pragma once

#include <espalier/autograd/observer.h>
#include <espalier/autograd/ops/pooling.h>
#include <espalier/core/kernels/pooling.h>

namespace espalier::detail {

inline void check_planes(const Shape& x, std::string_view op) {
  ESPALIER_CHECK(x.rank() == 4, ShapeError, op, ": expects x (N,C,H,W), got ", x);
}

/// The windows of `options` over x (N,C,H,W). Throws ShapeError or ValueError naming `op`.
inline PoolWindows windows_of(const Shape& x, PoolOptions options, std::string_view op) {
  check_planes(x, op);
  if (options.stride == 0) options.stride = options.kernel;
  ESPALIER_CHECK(options.kernel >= 1 && options.stride >= 1 && options.padding >= 0 &&
                     options.padding <= options.kernel / 2,
                 ValueError,
                 op,
                 ": expects kernel >= 1, stride >= 1 and 0 <= padding <= kernel/2, got kernel ",
                 options.kernel,
                 ", stride ",
                 options.stride,
                 ", padding ",
                 options.padding);
  ESPALIER_CHECK(
      options.kernel <= x[2] + 2 * options.padding && options.kernel <= x[3] + 2 * options.padding,
      ShapeError,
      op,
      ": the kernel of ",
      options.kernel,
      " is larger than the plane of ",
      x,
      " with padding ",
      options.padding);
  PoolWindows windows;
  windows.rows = sliding_windows(x[2], options.kernel, options.stride, options.padding);
  windows.cols = sliding_windows(x[3], options.kernel, options.stride, options.padding);
  windows.divisor = options.kernel * options.kernel;
  return windows;
}

/// Tells an observer kernel, stride and padding.
inline void observe_pool(const PoolOptions& options) {
  const int64_t stride = options.stride == 0 ? options.kernel : options.stride;
  observe_settings({static_cast<double>(options.kernel),
                    static_cast<double>(stride),
                    static_cast<double>(options.padding)});
}

/// (N,C,P,Q) for windows P x Q.
inline Shape pooled_shape(const Shape& x, const PoolWindows& windows) {
  return x.with(2, static_cast<int64_t>(windows.rows.size()))
      .with(3, static_cast<int64_t>(windows.cols.size()));
}

/// Mean over windows as an op called `op`; its gradient is the adjoint, whose gradient is the mean.
Variable mean_over_windows(const char* op,
                           const Variable& x,
                           std::shared_ptr<const PoolWindows> windows);

}  // namespace espalier::detail
