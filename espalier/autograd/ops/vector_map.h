// SPDX-License-Identifier: Apache-2.0
/// Tensors through core/kernels/vector_math.h: float32 by its vector code, float64 by libm. Not a
/// public interface.
#pragma once

#include <string_view>

#include <espalier/autograd/saved.h>
#include <espalier/core/kernels/vector_math.h>

namespace espalier::detail {

/// f(a) for every element, in a's layout. Throws TypeError naming `op` unless float32 or float64.
Tensor map(VectorFunction f, const Tensor& a, std::string_view op);
/// f'(a) times the gradient, for every element of `a`, to which the gradient broadcasts.
Tensor map(VectorGradient f, const Tensor& gradient, const Tensor& a, std::string_view op);

}  // namespace espalier::detail
