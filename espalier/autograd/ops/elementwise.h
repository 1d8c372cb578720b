// SPDX-License-Identifier: Apache-2.0
/// Element-wise ops. Operands broadcast by numpy's rules and must have one element type, float32 or
/// float64 (TypeError otherwise; ShapeError when shapes don't broadcast). The result keeps
/// `Nchw16n` when an operand that spans the batch has it. All can be differentiated any number of
/// times.
#pragma once

#include <espalier/autograd/variable.h>

namespace espalier {

/// a + b.
Variable add(const Variable& a, const Variable& b);
/// a - b.
Variable sub(const Variable& a, const Variable& b);
/// a * b.
Variable mul(const Variable& a, const Variable& b);
/// a / b.
Variable div(const Variable& a, const Variable& b);
/// a + constant.
Variable add(const Variable& a, double constant);
/// a * constant.
Variable mul(const Variable& a, double constant);
/// -a.
Variable neg(const Variable& a);
/// a to a constant power; the derivative is p * a^(p-1), 0 for p = 0.
Variable pow(const Variable& a, double exponent);
/// a to the power b, both variable. As in PyTorch the gradient of a is 0 where b = 0, and that of b
/// is 0 where a = 0 and b >= 0; where a < 0 the gradient of b is NaN.
Variable pow(const Variable& a, const Variable& b);
/// e^a.
Variable exp(const Variable& a);
/// Natural logarithm.
Variable log(const Variable& a);
/// Square root.
Variable sqrt(const Variable& a);
/// |a|; the derivative at 0 is 0.
Variable abs(const Variable& a);
/// -1, 0 or 1; the derivative is 0 everywhere (see straight_through.h for sign_ste).
Variable sign(const Variable& a);
/// a limited to [low, high]; the derivative is 1 inside and on the limits, 0 outside.
Variable clamp(const Variable& a, double low, double high);
/// The smaller of two; where equal, each gets half of the gradient.
Variable minimum(const Variable& a, const Variable& b);
/// The larger of two; where equal, each gets half of the gradient.
Variable maximum(const Variable& a, const Variable& b);
/// a where `condition` is not 0, else b. `condition` is uint8 and broadcasts; it has no gradient.
Variable where(const Tensor& condition, const Variable& a, const Variable& b);
/// 1 / (1 + e^-a).
Variable sigmoid(const Variable& a);
/// Hyperbolic tangent.
Variable tanh(const Variable& a);
/// max(a, 0); the derivative at 0 is 0.
Variable relu(const Variable& a);
/// a where a > 0, else slope * a; the derivative at 0 is the slope.
Variable leaky_relu(const Variable& a, double slope);
/// Gaussian error linear unit, exact form: a/2 * (1 + erf(a/sqrt 2)). Source: arXiv:1606.08415.
Variable gelu(const Variable& a);
/// The same by the hyperbolic tangent: a/2 * (1 + tanh(sqrt(2/pi) * (a + 0.044715 a^3))), PyTorch's
/// `approximate='tanh'`; GPT-2's weights were trained with it. Source: arXiv:1606.08415, section 2.
Variable gelu_tanh(const Variable& a);
/// a / (1 + e^-a). Source: arXiv:1702.03118.
Variable silu(const Variable& a);
/// log(1 + e^a), computed without overflow.
Variable softplus(const Variable& a);

// Comparisons: uint8, 1 where it holds, in the shape to which the operands broadcast and their
// layout: what `where` takes as its condition. They have no gradient and are not recorded. With a
// NaN only `not_equal` holds. A constant is compared after rounding to a's element type.

/// a > b.
Tensor greater(const Variable& a, const Variable& b);
/// a > constant.
Tensor greater(const Variable& a, double constant);
/// a >= b.
Tensor greater_equal(const Variable& a, const Variable& b);
/// a >= constant.
Tensor greater_equal(const Variable& a, double constant);
/// a < b.
Tensor less(const Variable& a, const Variable& b);
/// a < constant.
Tensor less(const Variable& a, double constant);
/// a <= b.
Tensor less_equal(const Variable& a, const Variable& b);
/// a <= constant.
Tensor less_equal(const Variable& a, double constant);
/// a == b, element by element (PyTorch's `eq`).
Tensor equal(const Variable& a, const Variable& b);
/// a == constant.
Tensor equal(const Variable& a, double constant);
/// a != b.
Tensor not_equal(const Variable& a, const Variable& b);
/// a != constant.
Tensor not_equal(const Variable& a, double constant);

/// Add(a, b).
inline Variable operator+(const Variable& a, const Variable& b) {
  return add(a, b);
}
/// Sub(a, b).
inline Variable operator-(const Variable& a, const Variable& b) {
  return sub(a, b);
}
/// Mul(a, b).
inline Variable operator*(const Variable& a, const Variable& b) {
  return mul(a, b);
}
/// Div(a, b).
inline Variable operator/(const Variable& a, const Variable& b) {
  return div(a, b);
}
/// Add(a, b).
inline Variable operator+(const Variable& a, double b) {
  return add(a, b);
}
/// Add(a, -b).
inline Variable operator-(const Variable& a, double b) {
  return add(a, -b);
}
/// Mul(a, b).
inline Variable operator*(const Variable& a, double b) {
  return mul(a, b);
}
/// Mul(b, a).
inline Variable operator*(double a, const Variable& b) {
  return mul(b, a);
}
/// Mul(a, 1 / b).
inline Variable operator/(const Variable& a, double b) {
  return mul(a, 1.0 / b);
}
/// Add(b, a).
inline Variable operator+(double a, const Variable& b) {
  return add(b, a);
}
/// a - b, as add(neg(b), a): the same bits.
inline Variable operator-(double a, const Variable& b) {
  return add(neg(b), a);
}
/// Div(a, b).
Variable operator/(double a, const Variable& b);
/// Neg(a).
inline Variable operator-(const Variable& a) {
  return neg(a);
}

}  // namespace espalier
