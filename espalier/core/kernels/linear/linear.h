// SPDX-License-Identifier: Apache-2.0
/// Raw linear layer in `Layout::Nchw16n`: the kernels of convolution, with blocks of samples in the
/// place of positions. The plain layout is a matrix product, see core/kernels/gemm.h.
#pragma once

#include <espalier/core/tensor.h>

namespace espalier {

/// y[n,o] = sum_i w[o,i] x[n,i] (+ bias[o]).
///
/// x, y     (N,I), (N,O) in `Nchw16n`; y is overwritten. Float32 or float64, all alike; float64
///          runs the reference.
/// weight   (O,I) plain.
/// bias     (O) plain or undefined.
/// Threads  split by outputs; each sum runs over i in order, so bits don't depend on the thread
///          count.
/// Throws ShapeError when sizes don't fit, TypeError when types differ.
void linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
/// dx[n,i] = sum_o w[o,i] dy[n,o]; arguments as above, dx is overwritten.
void linear_backward_data(const Tensor& dy, const Tensor& weight, Tensor& dx);
/// dweight[o,i] = sum_n dy[n,o] x[n,i], overwritten.
void linear_backward_weight(const Tensor& x, const Tensor& dy, Tensor& dweight);

/// The same three by plain loops with float64 sums, for any layout: the oracle of the tests.
namespace reference {
void linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
void linear_backward_data(const Tensor& dy, const Tensor& weight, Tensor& dx);
void linear_backward_weight(const Tensor& x, const Tensor& dy, Tensor& dweight);
}  // namespace reference

}  // namespace espalier
