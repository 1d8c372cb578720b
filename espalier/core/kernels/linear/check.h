// SPDX-License-Identifier: Apache-2.0
/// The argument checks that the linear kernels and their references share. Not a public interface.
#pragma once

#include <string_view>

#include <espalier/core/tensor.h>

namespace espalier::detail {

/// Throws unless x (N,I), weight (O,I), bias (O) or undefined and y (N,O) fit together, with x and
/// y in `layout`.
void check_linear(const Tensor& x,
                  const Tensor& weight,
                  const Tensor& bias,
                  const Tensor& y,
                  Layout layout,
                  std::string_view op);

}  // namespace espalier::detail
