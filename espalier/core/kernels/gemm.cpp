// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/gemm.h>

#include <algorithm>
#include <limits>

#include <cblas.h>

#include <espalier/core/detail/blas_call.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

// Rows of one task: big enough for BLAS to block well, small enough that batches of 128 use two
// cores.
constexpr int64_t kRows = 64;

struct Matrix {
  Tensor tensor;
  CBLAS_TRANSPOSE transposed = CblasNoTrans;
  int64_t leading = 1;     // elements from one stored row to the next
  int64_t row_stride = 1;  // elements from one logical row to the next
};

/// A form of `t` that BLAS can read: rows or columns contiguous.
Matrix readable(const Tensor& t) {
  Matrix m{t};
  for (int attempt = 0;; ++attempt) {
    const int64_t rows = m.tensor.size(-2);
    const int64_t cols = m.tensor.size(-1);
    const int64_t rs = m.tensor.strides()[t.rank() - 2];
    const int64_t cs = m.tensor.strides()[t.rank() - 1];
    m.row_stride = rs;
    if ((cs == 1 || cols <= 1) && (rs >= cols || rows <= 1)) {
      m.leading = rows <= 1 ? std::max<int64_t>(1, cols) : rs;
      return m;
    }
    if ((rs == 1 || rows <= 1) && (cs >= rows || cols <= 1)) {
      m.transposed = CblasTrans;
      m.leading = cols <= 1 ? std::max<int64_t>(1, rows) : cs;
      return m;
    }
    ESPALIER_CHECK(attempt == 0, Error, "gemm: no readable form of ", t);
    m.tensor = m.tensor.clone();
  }
}

/// Element offset of matrix number `index` of a batch.
int64_t batch_offset(const Tensor& t, int64_t index) {
  int64_t offset = 0;
  for (int d = t.rank() - 3; d >= 0; --d) {
    offset += index % t.size(d) * t.strides()[d];
    index /= t.size(d);
  }
  return offset;
}

void call_blas(const Matrix& a,
               const float* pa,
               const Matrix& b,
               const float* pb,
               float* out,
               blasint m,
               blasint n,
               blasint k) {
  const detail::BlasCall guarded;
  cblas_sgemm(CblasRowMajor,
              a.transposed,
              b.transposed,
              m,
              n,
              k,
              1.0f,
              pa,
              static_cast<blasint>(a.leading),
              pb,
              static_cast<blasint>(b.leading),
              0.0f,
              out,
              n);
}

void call_blas(const Matrix& a,
               const double* pa,
               const Matrix& b,
               const double* pb,
               double* out,
               blasint m,
               blasint n,
               blasint k) {
  const detail::BlasCall guarded;
  cblas_dgemm(CblasRowMajor,
              a.transposed,
              b.transposed,
              m,
              n,
              k,
              1.0,
              pa,
              static_cast<blasint>(a.leading),
              pb,
              static_cast<blasint>(b.leading),
              0.0,
              out,
              n);
}

}  // namespace

void gemm(const Tensor& a, const Tensor& b, Tensor& out) {
  const int rank = out.rank();
  ESPALIER_CHECK(a.layout() == Layout::Nchw && b.layout() == Layout::Nchw &&
                     out.layout() == Layout::Nchw && out.is_contiguous(),
                 ShapeError,
                 "gemm: expects plain tensors and a contiguous result, got ",
                 a,
                 ", ",
                 b,
                 ", ",
                 out);
  ESPALIER_CHECK(rank >= 2 && a.rank() == rank && b.rank() == rank && a.size(-1) == b.size(-2) &&
                     out.shape() == a.shape().with(rank - 1, b.size(-1)) &&
                     out.shape() == b.shape().with(rank - 2, a.size(-2)),
                 ShapeError,
                 "gemm: expects (.., M, K) x (.., K, N) to (.., M, N), got ",
                 a.shape(),
                 " x ",
                 b.shape(),
                 " to ",
                 out.shape());
  ESPALIER_CHECK(a.dtype() == b.dtype() && a.dtype() == out.dtype(),
                 TypeError,
                 "gemm: expects one element type, got ",
                 a,
                 ", ",
                 b,
                 ", ",
                 out);
  const int64_t m = out.size(-2);
  const int64_t n = out.size(-1);
  const int64_t k = a.size(-1);
  if (out.numel() == 0) return;
  if (k == 0) return out.fill_(0.0);
  ESPALIER_CHECK(std::max({m, n, k}) <= std::numeric_limits<blasint>::max(),
                 ShapeError,
                 "gemm: a dimension of ",
                 a.shape(),
                 " x ",
                 b.shape(),
                 " exceeds the range of BLAS");
  const Matrix ma = readable(a);
  const Matrix mb = readable(b);
  const int64_t blocks = (m + kRows - 1) / kRows;
  dispatch_floating(out.dtype(), "gemm", [&](auto zero) {
    using T = decltype(zero);
    const T* pa = ma.tensor.data<T>();
    const T* pb = mb.tensor.data<T>();
    T* po = out.data<T>();
    // Small matrices share a task.
    const int64_t work = std::min(m, kRows) * n * k;
    const int64_t grain = std::max<int64_t>(1, (1 << 17) / std::max<int64_t>(1, work));
    parallel_for(out.numel() / (m * n) * blocks, grain, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t batch = task / blocks;
        const int64_t row = task % blocks * kRows;
        call_blas(ma,
                  pa + batch_offset(ma.tensor, batch) + row * ma.row_stride,
                  mb,
                  pb + batch_offset(mb.tensor, batch),
                  po + (batch * m + row) * n,
                  static_cast<blasint>(std::min(kRows, m - row)),
                  static_cast<blasint>(n),
                  static_cast<blasint>(k));
      }
    });
  });
}

}  // namespace espalier
