// SPDX-License-Identifier: Apache-2.0
/// Everyday arithmetic of tensors without a tape: `(a - b) * 0.5`, comparison, the place of the
/// largest element, writing one element. What is to be differentiated goes through autograd/ops.h.
#pragma once

#include <initializer_list>
#include <optional>

#include <espalier/core/tensor.h>

namespace espalier {

/// a + b, element by element. As all four: shapes broadcast (numpy's rules); both have one element
/// type, which is the result's; the result is `Nchw16n` where an operand that spans the batch is,
/// and has memory of its own. Throws ShapeError for shapes that don't fit, TypeError for two
/// element types.
Tensor operator+(const Tensor& a, const Tensor& b);
Tensor operator-(const Tensor& a, const Tensor& b);  ///< a - b
Tensor operator*(const Tensor& a, const Tensor& b);  ///< a * b
/// a / b, of float32 and float64 only: TypeError for whole numbers.
Tensor operator/(const Tensor& a, const Tensor& b);

/// The same with a number, which takes the tensor's element type: TypeError for a fraction with a
/// tensor of whole numbers.
Tensor operator+(const Tensor& a, double b);
Tensor operator-(const Tensor& a, double b);  ///< a - b
Tensor operator*(const Tensor& a, double b);  ///< a * b
Tensor operator/(const Tensor& a, double b);  ///< a / b
Tensor operator+(double a, const Tensor& b);  ///< a + b
Tensor operator-(double a, const Tensor& b);  ///< a - b
Tensor operator*(double a, const Tensor& b);  ///< a * b
Tensor operator/(double a, const Tensor& b);  ///< a / b
Tensor operator-(const Tensor& a);            ///< 0 - a

/// True when both have one shape, one element type and the same numbers, in whatever layout; a NaN
/// equals nothing. As torch.equal.
bool equal(const Tensor& a, const Tensor& b);

/// How near numbers are that `all_close` takes for the same.
struct CloseOptions {
  double rtol = 1e-5;      ///< of b
  double atol = 1e-8;      ///< besides
  bool equal_nan = false;  ///< NaN is close to NaN
};
/// True when |a - b| <= atol + rtol * |b| everywhere, in float64; infinities are close to
/// themselves. Element types and layouts may differ. As torch.allclose. Throws ShapeError unless
/// the shapes are the same.
bool all_close(const Tensor& a, const Tensor& b, const CloseOptions& options = {});

/// Where the largest element stands, int64: its flat index (a scalar), or along dimension `dim` its
/// place in each row, in the shape without `dim` (with size 1 there, if `keepdim`). The first of
/// equals; a NaN counts as largest. Throws ValueError where there is none to choose from.
Tensor argmax(const Tensor& a, std::optional<int> dim = std::nullopt, bool keepdim = false);

/// Writes one element, by its logical index in any layout: the counterpart of `Tensor::at`. Throws
/// ShapeError for an index outside, TypeError for a fraction in a tensor of whole numbers.
void set_item(Tensor& tensor, std::initializer_list<int64_t> index, double value);

}  // namespace espalier
