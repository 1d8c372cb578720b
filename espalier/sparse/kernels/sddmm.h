// SPDX-License-Identifier: Apache-2.0
/// Sampled dense-dense product: out[m,n] = sum_k a[m,k] * b[k,n] at stored positions only. What the
/// gradient of a sparse weight is: of y = w x, dw = dy x^T where w has weights.
///
///   at       (M,N) as Csr, Bsr or NM: the positions; its values are not read
///   a        (M,K), plain; b (K,N), plain, both of at's type; other strides are copied
///   returns  the values at at's positions, in its format; what a block has outside of the matrix
///            stays 0
///   Cost     K multiply-accumulates for each position; b is transposed once
///   Threads  rows (of blocks) of `at`; each sum has one order, so the bits do not depend on the
///            number of threads
///   Throws   ShapeError when sizes don't fit, TypeError for another type
///   Source   T. Gale et al., Sparse GPU Kernels for Deep Learning, arXiv:2006.10901, section 6;
///            PyTorch's torch.sparse.sampled_addmm with beta = 0
#pragma once

#include <espalier/core/tensor.h>
#include <espalier/sparse/formats/bsr.h>
#include <espalier/sparse/formats/csr.h>
#include <espalier/sparse/formats/nm.h>

namespace espalier::sparse {

/// At single positions.
Csr sddmm(const Csr& at, const Tensor& a, const Tensor& b);
/// At all positions of stored blocks.
Bsr sddmm(const Bsr& at, const Tensor& a, const Tensor& b);
/// At the stored positions, also of zeros that fill up a group.
NM sddmm(const NM& at, const Tensor& a, const Tensor& b);

/// The same by plain loops: the oracle of the tests.
namespace reference {
Csr sddmm(const Csr& at, const Tensor& a, const Tensor& b);
Bsr sddmm(const Bsr& at, const Tensor& a, const Tensor& b);
NM sddmm(const NM& at, const Tensor& a, const Tensor& b);
}  // namespace reference

}  // namespace espalier::sparse
