// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/core/kernels/gemm.h>
#include <espalier/core/parallel.h>
#include <espalier/prune/curvature/linalg/cholesky.h>

namespace espalier::prune {
namespace {

constexpr int64_t kBlock = 64;
constexpr int64_t kRowGrain = 16;

void check_square(const Tensor& a, const char* op) {
  ESPALIER_CHECK(a.rank() == 2 && a.size(0) == a.size(1),
                 ShapeError,
                 op,
                 ": expects a square matrix, got ",
                 a.shape());
  ESPALIER_CHECK(a.dtype() == DType::F64, TypeError, op, ": expects float64, got ", a);
}

/// Factors rows and columns begin..end of l in place; everything left of them is done.
void factor_diagonal(double* l, int64_t n, int64_t begin, int64_t end) {
  for (int64_t j = begin; j < end; ++j) {
    double pivot = l[j * n + j];
    for (int64_t t = begin; t < j; ++t) pivot -= l[j * n + t] * l[j * n + t];
    ESPALIER_CHECK(pivot > 0.0,
                   ValueError,
                   "cholesky: pivot ",
                   j,
                   " of ",
                   n,
                   " is ",
                   pivot,
                   "; expected a positive number. Is the matrix symmetric and positive definite? "
                   "More damping helps");
    const double root = std::sqrt(pivot);
    l[j * n + j] = root;
    for (int64_t i = j + 1; i < end; ++i) {
      double sum = l[i * n + j];
      for (int64_t t = begin; t < j; ++t) sum -= l[i * n + t] * l[j * n + t];
      l[i * n + j] = sum / root;
    }
  }
}

/// Rows and columns in reverse order.
Tensor reversed(const Tensor& a) {
  const int64_t n = a.size(0);
  Tensor out = Tensor::empty(a.shape(), DType::F64);
  std::reverse_copy(a.data<double>(), a.data<double>() + n * n, out.data<double>());
  return out;
}

/// The inverse of an upper triangular matrix, by blocks of rows from the last.
Tensor upper_inverse(const Tensor& r) {
  const int64_t n = r.size(0);
  Tensor inverse = Tensor::zeros(r.shape(), DType::F64);
  const double* pr = r.data<double>();
  double* u = inverse.data<double>();
  for (int64_t end = n; end > 0; end -= std::min(kBlock, end)) {
    const int64_t begin = end - std::min(kBlock, end);
    if (end < n) {
      // What the rows below have to do with these: - R[block, end:] U[end:, end:].
      Tensor sum = Tensor::empty({end - begin, n - end}, DType::F64);
      gemm(r.slice(0, begin, end).slice(1, end, n), inverse.slice(0, end, n).slice(1, end, n), sum);
      const double* ps = sum.data<double>();
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t j = end; j < n; ++j) u[i * n + j] = -ps[(i - begin) * (n - end) + j - end];
      }
    }
    for (int64_t i = end - 1; i >= begin; --i) {
      u[i * n + i] += 1.0;
      for (int64_t k = i + 1; k < end; ++k) {
        const double factor = pr[i * n + k];
        for (int64_t j = k; j < n; ++j) u[i * n + j] -= factor * u[k * n + j];
      }
      const double pivot = pr[i * n + i];
      for (int64_t j = i; j < n; ++j) u[i * n + j] /= pivot;
    }
  }
  return inverse;
}

}  // namespace

Tensor cholesky(const Tensor& a) {
  check_square(a, "cholesky");
  const int64_t n = a.size(0);
  Tensor result = a.clone();
  double* l = result.data<double>();
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, n);
    factor_diagonal(l, n, begin, end);
    const int64_t below = n - end;
    if (below == 0) break;
    parallel_for(below, kRowGrain, [&](int64_t first, int64_t last) {
      for (int64_t i = end + first; i < end + last; ++i) {
        for (int64_t j = begin; j < end; ++j) {
          double sum = l[i * n + j];
          for (int64_t t = begin; t < j; ++t) sum -= l[i * n + t] * l[j * n + t];
          l[i * n + j] = sum / l[j * n + j];
        }
      }
    });
    const Tensor panel = result.slice(0, end, n).slice(1, begin, end).contiguous();
    Tensor product = Tensor::empty({below, below}, DType::F64);
    gemm(panel, panel.transpose(0, 1), product);
    const double* p = product.data<double>();
    parallel_for(below, kRowGrain, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        for (int64_t j = 0; j <= i; ++j) l[(end + i) * n + end + j] -= p[i * below + j];
      }
    });
  }
  for (int64_t i = 0; i < n; ++i) std::fill(l + i * n + i + 1, l + (i + 1) * n, 0.0);
  return result;
}

Tensor inverse_cholesky(const Tensor& a) {
  check_square(a, "inverse_cholesky");
  // a = R Rᵀ is the lower factorization of a with its rows and columns in reverse order. Only the
  // lower triangle of `a` counts, which the reversal makes the upper one.
  Tensor symmetric = a.clone();
  const int64_t n = a.size(0);
  double* s = symmetric.data<double>();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i + 1; j < n; ++j) s[i * n + j] = s[j * n + i];
  }
  return upper_inverse(reversed(cholesky(reversed(symmetric))));
}

Tensor solve_positive(const Tensor& a, const Tensor& b) {
  const Tensor factor = cholesky(a);
  const int64_t n = a.size(0);
  ESPALIER_CHECK(b.rank() == 2 && b.size(0) == n,
                 ShapeError,
                 "solve_positive: expects a right side with ",
                 n,
                 " rows, got ",
                 b.shape());
  ESPALIER_CHECK(b.dtype() == DType::F64, TypeError, "solve_positive: expects float64, got ", b);
  const int64_t m = b.size(1);
  Tensor solution = b.clone();
  const double* l = factor.data<double>();
  double* x = solution.data<double>();
  parallel_for(m, kBlock, [&](int64_t first, int64_t last) {
    const auto add = [&](int64_t to, double times, int64_t from) {
      for (int64_t j = first; j < last; ++j) x[to * m + j] += times * x[from * m + j];
    };
    const auto divide = [&](int64_t row) {
      for (int64_t j = first; j < last; ++j) x[row * m + j] /= l[row * n + row];
    };
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t k = 0; k < i; ++k) add(i, -l[i * n + k], k);
      divide(i);
    }
    for (int64_t i = n - 1; i >= 0; --i) {
      for (int64_t k = i + 1; k < n; ++k) add(i, -l[k * n + i], k);
      divide(i);
    }
  });
  return solution;
}

Tensor solve_near(const Tensor& a, const Tensor& b, const Tensor& near) {
  constexpr double kPull = 1e-6;
  const int64_t n = a.size(0);
  Tensor pulled = a.clone();
  Tensor right = b.clone();
  double mean = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    mean += pulled.data<double>()[i * (n + 1)] / static_cast<double>(n);
  }
  const double pull = mean > 0.0 ? kPull * mean : 1.0;
  for (int64_t i = 0; i < n; ++i) pulled.data<double>()[i * (n + 1)] += pull;
  for (int64_t i = 0; i < right.numel(); ++i) {
    right.data<double>()[i] += pull * near.data<double>()[i];
  }
  return solve_positive(pulled, right);
}

}  // namespace espalier::prune
