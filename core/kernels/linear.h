// SPDX-License-Identifier: Apache-2.0
/// Raw linear layer in `Layout::Nchw16n`: sixteen samples in sixteen lanes, a weight is one
/// broadcast times contiguous vectors. The plain layout is a matrix product, see
/// core/kernels/gemm.h.
#pragma once

#include <espalier/core/tensor.h>

namespace espalier {

/// y[n,o] = sum_i w[o,i] x[n,i] (+ bias[o]).
///
/// x, y     (N,I), (N,O) in `Nchw16n`; y is overwritten. Float32 or float64, all alike.
/// weight   (O,I) plain, contiguous.
/// bias     (O) plain or undefined.
/// keep     uint8 (O,I) or undefined: where it is 0 the weight counts as 0 and is skipped.
/// Threads  split by sample block and output; each sum runs over i in order, so bits don't depend
/// on
///          the thread count.
/// Throws ShapeError when sizes don't fit, TypeError when types differ.
void linear_forward(
    const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& keep, Tensor& y);
/// dx[n,i] = sum_o w[o,i] dy[n,o]; arguments as above, dx is overwritten.
void linear_backward_data(const Tensor& dy, const Tensor& weight, const Tensor& keep, Tensor& dx);
/// dweight[o,i] = sum_n dy[n,o] x[n,i], overwritten; 0 where `keep` is 0.
void linear_backward_weight(const Tensor& x, const Tensor& dy, const Tensor& keep, Tensor& dweight);

/// The same three by plain loops with float64 sums, for any layout: the oracle of the tests.
namespace reference {
void linear_forward(
    const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& keep, Tensor& y);
void linear_backward_data(const Tensor& dy, const Tensor& weight, const Tensor& keep, Tensor& dx);
void linear_backward_weight(const Tensor& x, const Tensor& dy, const Tensor& keep, Tensor& dweight);
}  // namespace reference

}  // namespace espalier
