// SPDX-License-Identifier: Apache-2.0
/// Functions of many float32 numbers at once: exp, log, tanh, sigmoid, SiLU, GELU and what belongs
/// to them. Not a public interface: autograd/ops/map.h and the softmax kernels call it.
///
/// Each element is computed in float64 by one fixed order of operations without fused
/// multiply-add, so its bits depend on the element alone: not on the instruction set, its place, or
/// the threads. The float64 value is off by less than 2e-11 of itself, so that what is rounded to
/// float32 is within 0.501 ulp of the exact one (of the gradients of SiLU and GELU: of their larger
/// term). Highway's own contrib/math (1.0.3) gives 1 to 4 ulp, and other bits where a target has
/// FMA.
#pragma once

#include <cstdint>

namespace espalier {

/// A function of one variable. Infinities, zeros and NaN as in libm.
enum class VectorFunction : uint8_t {
  Exp,        ///< e^x
  Log,        ///< natural logarithm; NaN below 0
  Tanh,       ///< hyperbolic tangent
  Sigmoid,    ///< 1 / (1 + e^-x)
  Softplus,   ///< log(1 + e^x)
  NormalCdf,  ///< Phi(x), the distribution function of the standard normal
  Gelu,       ///< x Phi(x); NaN at -infinity
  GeluTanh,   ///< x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3); NaN at -infinity
  Silu,       ///< x / (1 + e^-x); NaN at -infinity
};

/// The derivative of a function, times an incoming gradient.
enum class VectorGradient : uint8_t {
  Softplus,  ///< g / (1 + e^-x)
  Gelu,      ///< g (Phi(x) + x phi(x)), phi the density of the standard normal; NaN at infinities
  GeluTanh,  ///< g (s + x s (1-s) 2u'), s = 1 / (1 + e^-2u), u as above; g and 0 at infinities
  Silu,      ///< g s (1 + x (1-s)), s = 1 / (1 + e^-x); NaN at infinities
};

/// y[i] = f(x[i]) for 0 <= i < n. y may be x; else they must not overlap. One thread.
void vector_map(VectorFunction f, const float* x, float* y, int64_t n);
/// y[i] = f'(x[i]) g[i]. y may be x or g.
void vector_map(VectorGradient f, const float* g, const float* x, float* y, int64_t n);

/// y[i] = e^x[i]; y may be x. Float64 by libm.
void vector_exp(const float* x, float* y, int64_t n);
void vector_exp(const double* x, double* y, int64_t n);

namespace reference {
/// The same in float64 by libm.
double vector_map(VectorFunction f, double x);
double vector_map(VectorGradient f, double g, double x);
}  // namespace reference

}  // namespace espalier
