// SPDX-License-Identifier: Apache-2.0
/// Sparse times dense: out[m,n] = sum_k a[m,k] * b[k,n], at the cost of the stored values of a.
/// For matrices; convolutions and linear layers of networks run conv2d.h, which knows planes.
///
///   a        (M,K) as Csr, Bsr or NM
///   b        (K,N), plain, of a's type; other strides are copied
///   returns  (M,N), plain, of a's type
///   Cost     one multiply-accumulate for each stored value and column of b, explicit zeros
///            included; a row of b is read once for each row of a with an entry there, in blocks
///            once for four rows
///   Threads  rows (of blocks) of a; sums run over k in ascending order, so the bits do not depend
///            on the number of threads
///   Throws   ShapeError when the inner sizes differ or b is no matrix, TypeError for another type
///   Source   T. Gale et al., Sparse GPU Kernels for Deep Learning, arXiv:2006.10901, section 5
///            (rows of the output in tiles that stay in registers while the entries pass by)
#pragma once

#include <espalier/core/tensor.h>
#include <espalier/sparse/formats/bsr.h>
#include <espalier/sparse/formats/csr.h>
#include <espalier/sparse/formats/nm.h>

namespace espalier::sparse {

/// Of rows of single values.
Tensor spmm(const Csr& a, const Tensor& b);
/// Of blocks: up to four rows of a block pass together over a row of b.
Tensor spmm(const Bsr& a, const Tensor& b);
/// Of N of M neighbours.
Tensor spmm(const NM& a, const Tensor& b);

/// The same by plain loops: the oracle of the tests.
namespace reference {
Tensor spmm(const Csr& a, const Tensor& b);
Tensor spmm(const Bsr& a, const Tensor& b);
Tensor spmm(const NM& a, const Tensor& b);
}  // namespace reference

}  // namespace espalier::sparse
