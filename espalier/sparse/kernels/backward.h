// SPDX-License-Identifier: Apache-2.0
/// The gradients of a sparse convolution at kept positions, in the order of dx or in that of dy.
/// Not a public interface.
#pragma once

#include <cstdint>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse {

/// Whether a result replaces the content of its tensor or is added to it.
enum class Result : uint8_t { Replaces, Adds };

namespace detail {

/// Of a backward pass, checked. What is not wanted is null; dx alone is replaced.
struct BackwardOperands {
  const Tensor* x = nullptr;  ///< read for dweight
  const Tensor& dy;
  const Tensor* weight = nullptr;  ///< read for dx; dense, or its kept values
  Tensor* dx = nullptr;
  Result dx_result = Result::Replaces;
  Tensor* dweight = nullptr;  ///< (nnz), replaced
};

/// Weights one by one, in the order of dx: seen from an input position both gradients need the same
/// vectors of dy, dx[c] += w * dy and dw += x[c] * dy, so one pass over dy serves both (the
/// weight's gradient is a sampled dense-dense product, SDDMM). `dweight` must be wanted: dx alone
/// is a forward pass. Bits don't depend on the thread count.
void backward_by_entries(const Conv2dShape& shape,
                         const Support& support,
                         const BackwardOperands& of);

/// Blocks of four output channels, in the order of dy. Bits don't depend on the thread count.
///
/// Source  ours: performance is bound by loads in the order of input channels, where every product
///         of dx reads a vector of dy; in the order of dy, four channels share those of x and dx.
void backward_in_blocks(const Conv2dShape& shape,
                        const Support& support,
                        const BackwardOperands& of);

}  // namespace detail

}  // namespace espalier::sparse
