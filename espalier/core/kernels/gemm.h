// SPDX-License-Identifier: Apache-2.0
/// Dense matrix product of strided plain tensors by OpenBLAS, one thread per block of rows. Blocks
/// have a fixed size, so the result has the same bits for any number of threads.
#pragma once

#include <espalier/core/tensor.h>

namespace espalier {

/// out[.., m, n] = sum_k a[.., m, k] * b[.., k, n].
///
/// a, b   plain, float32 or float64, one type, rank >= 2; leading dimensions equal those of out
/// (expand
///        them first). A transposed view is read in place, other strides are copied.
/// out    plain, contiguous, overwritten. Must not alias a or b.
/// Throws ShapeError when sizes don't fit, TypeError when types differ.
void gemm(const Tensor& a, const Tensor& b, Tensor& out);

}  // namespace espalier
