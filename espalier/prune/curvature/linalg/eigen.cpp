// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/linalg/eigen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <espalier/core/kernels/gemm.h>

namespace espalier::prune {
namespace {

constexpr int kMostSweeps = 60;      // ten are enough for hundreds of rows
constexpr double kRounding = 1e-15;  // of the largest entry: below, nothing is left to turn

Tensor times(const Tensor& a, const Tensor& b) {
  Tensor out = Tensor::empty({a.size(0), b.size(1)}, DType::F64);
  gemm(a, b, out);
  return out;
}

/// The first columns.
Tensor leading(const Tensor& vectors, int64_t count) {
  return vectors.slice(1, 0, count).contiguous();
}

/// The leading left singular vectors of a matrix.
Tensor left_vectors(const Tensor& matrix, int64_t count) {
  return leading(symmetric_eigen(times(matrix, matrix.transpose(0, 1))).vectors, count);
}

/// Turns rows and columns p and q of `a` so that a[p,q] is 0, and the columns of `v` with them.
void rotate(double* a, double* v, int64_t n, int64_t p, int64_t q) {
  const double apq = a[p * n + q];
  const double theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
  const double t = std::copysign(1.0, theta) / (std::abs(theta) + std::hypot(theta, 1.0));
  const double c = 1.0 / std::hypot(t, 1.0);
  const double s = t * c;
  for (int64_t k = 0; k < n; ++k) {
    const double akp = a[k * n + p], akq = a[k * n + q];
    a[k * n + p] = c * akp - s * akq;
    a[k * n + q] = s * akp + c * akq;
  }
  for (int64_t k = 0; k < n; ++k) {
    const double apk = a[p * n + k], aqk = a[q * n + k];
    a[p * n + k] = c * apk - s * aqk;
    a[q * n + k] = s * apk + c * aqk;
  }
  // Vectors are rows here: they lie together in memory.
  for (int64_t k = 0; k < n; ++k) {
    const double vp = v[p * n + k], vq = v[q * n + k];
    v[p * n + k] = c * vp - s * vq;
    v[q * n + k] = s * vp + c * vq;
  }
}

/// K x_T U^T or K x_S U^T: the kernel seen by `vectors` (channels, kept) of one of its sides.
Tensor projected(const Tensor& kernel, const Tensor& vectors, bool outputs) {
  const int64_t t = kernel.size(0), s = kernel.size(1), h = kernel.size(2), w = kernel.size(3);
  const Tensor seen = times(vectors.transpose(0, 1), unfolded(kernel, outputs));
  const int64_t kept = vectors.size(1);
  if (outputs) return seen.reshape({kept, s, h, w});
  return seen.reshape({kept, t, h, w}).transpose(0, 1).contiguous();
}

}  // namespace

SymmetricEigen symmetric_eigen(const Tensor& a) {
  ESPALIER_CHECK(a.rank() == 2 && a.size(0) == a.size(1),
                 ShapeError,
                 "symmetric_eigen: expects a square matrix, got ",
                 a.shape());
  ESPALIER_CHECK(a.dtype() == DType::F64, TypeError, "symmetric_eigen: expects float64, got ", a);
  const int64_t n = a.size(0);
  Tensor work = a.contiguous().clone();
  double* m = work.data<double>();
  double largest = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) {
      ESPALIER_CHECK(std::isfinite(m[i * n + j]),
                     ValueError,
                     "symmetric_eigen: entry (",
                     i,
                     ",",
                     j,
                     ") is not finite");
      m[j * n + i] = m[i * n + j];
      largest = std::max(largest, std::abs(m[i * n + j]));
    }
  }
  Tensor rows = Tensor::zeros({n, n}, DType::F64);
  for (int64_t i = 0; i < n; ++i) rows.data<double>()[i * n + i] = 1.0;
  bool turned = true;
  for (int sweep = 0; sweep < kMostSweeps && turned; ++sweep) {
    turned = false;
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) {
        if (std::abs(m[p * n + q]) <= kRounding * largest) continue;
        rotate(m, rows.data<double>(), n, p, q);
        turned = true;
      }
    }
  }
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order,
                           [&](int64_t i, int64_t j) { return m[i * n + i] > m[j * n + j]; });
  SymmetricEigen out{{}, Tensor::empty({n, n}, DType::F64)};
  for (int64_t j = 0; j < n; ++j) {
    const int64_t from = order[static_cast<size_t>(j)];
    const double* v = rows.data<double>() + from * n;
    const double* top =
        std::max_element(v, v + n, [](double x, double y) { return std::abs(x) < std::abs(y); });
    const double sign = *top < 0.0 ? -1.0 : 1.0;
    out.values.push_back(m[from * n + from]);
    for (int64_t i = 0; i < n; ++i) out.vectors.data<double>()[i * n + j] = sign * v[i];
  }
  return out;
}

std::vector<double> squared_singular_values(const Tensor& matrix) {
  const bool wide = matrix.size(0) <= matrix.size(1);
  const Tensor other = matrix.transpose(0, 1);
  std::vector<double> values =
      symmetric_eigen(wide ? times(matrix, other) : times(other, matrix)).values;
  for (double& value : values) value = std::max(value, 0.0);
  return values;
}

std::pair<Tensor, Tensor> truncated_svd(const Tensor& matrix, int64_t rank) {
  const int64_t m = matrix.size(0), n = matrix.size(1);
  ESPALIER_CHECK(rank >= 1 && rank <= std::min(m, n),
                 ValueError,
                 "truncated_svd: a matrix ",
                 matrix.shape(),
                 " has no rank ",
                 rank);
  if (m > n) {  // the smaller side has the smaller matrix of products
    const auto [left, right] = truncated_svd(matrix.transpose(0, 1).contiguous(), rank);
    return {right.transpose(0, 1).contiguous(), left.transpose(0, 1).contiguous()};
  }
  Tensor left = left_vectors(matrix, rank);
  Tensor right = times(left.transpose(0, 1), matrix);  // S V^T
  for (int64_t r = 0; r < rank; ++r) {
    double* row = right.data<double>() + r * n;
    const double sigma = std::sqrt(std::inner_product(row, row + n, row, 0.0));
    if (sigma == 0.0) continue;
    const double root = std::sqrt(sigma);
    for (int64_t j = 0; j < n; ++j) row[j] /= root;
    for (int64_t i = 0; i < m; ++i) left.data<double>()[i * rank + r] *= root;
  }
  return {left, right};
}

Tensor unfolded(const Tensor& kernel, bool by_outputs) {
  const Tensor first = by_outputs ? kernel : kernel.transpose(0, 1);
  return first.contiguous().reshape({first.size(0), -1});
}

Tucker2 tucker2(const Tensor& kernel, int64_t outputs, int64_t inputs, int64_t iterations) {
  ESPALIER_CHECK(kernel.rank() == 4 && outputs >= 1 && outputs <= kernel.size(0) && inputs >= 1 &&
                     inputs <= kernel.size(1),
                 ValueError,
                 "tucker2: a kernel ",
                 kernel.shape(),
                 " has no ranks ",
                 outputs,
                 " and ",
                 inputs);
  Tucker2 out{left_vectors(unfolded(kernel, true), outputs),
              left_vectors(unfolded(kernel, false), inputs),
              {}};
  for (int64_t i = 0; i < iterations; ++i) {
    out.inputs = left_vectors(unfolded(projected(kernel, out.outputs, true), false), inputs);
    out.outputs = left_vectors(unfolded(projected(kernel, out.inputs, false), true), outputs);
  }
  out.core = projected(projected(kernel, out.outputs, true), out.inputs, false);
  return out;
}

}  // namespace espalier::prune
