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

/// `options` with its strides filled in; throws ValueError naming `op` for numbers out of range.
PoolOptions checked(PoolOptions options, std::string_view op);

/// The windows of `options` over x (N,C,H,W). Throws ShapeError or ValueError naming `op`.
PoolWindows windows_of(const Shape& x, const PoolOptions& options, std::string_view op);

/// The options, strides filled in, as the attributes of a pooling op ..
OpAttributes pool_attributes(const PoolOptions& options);
/// .. and back.
PoolOptions pool_options(const OpAttributes& attributes);

/// (N,C,P,Q) for windows P x Q.
inline Shape pooled_shape(const Shape& x, const PoolWindows& windows) {
  return x.with(2, static_cast<int64_t>(windows.rows.size()))
      .with(3, static_cast<int64_t>(windows.cols.size()));
}

/// Mean over windows as an op called `op`; its gradient is the adjoint, whose gradient is the mean.
Variable mean_over_windows(const char* op,
                           const Variable& x,
                           const std::shared_ptr<const PoolWindows>& windows);

}  // namespace espalier::detail
