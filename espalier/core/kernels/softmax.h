// SPDX-License-Identifier: Apache-2.0
/// Raw softmax and log-softmax along one dimension, and their backward passes. Float32 and float64
/// in either layout; sums in float64, each in index order.
#pragma once

#include <espalier/core/tensor.h>

namespace espalier {

enum class SoftmaxKind : uint8_t { Probability, Log };

/// y = e^x / sum e^x along `dim`, or its logarithm. x contiguous; dim 0..rank-1, not 0 in
/// `Nchw16n`. y has x's shape, type and layout, and is overwritten; it may be x.
void softmax_forward(const Tensor& x, int dim, SoftmaxKind kind, Tensor& y);
/// dx from the output y and dy: y (dy - sum y dy), or for the logarithm dy - e^y sum dy. All alike,
/// contiguous; dx is overwritten.
void softmax_backward(const Tensor& y, const Tensor& dy, int dim, SoftmaxKind kind, Tensor& dx);

}  // namespace espalier
