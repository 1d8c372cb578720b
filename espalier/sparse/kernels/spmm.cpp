// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/spmm.h>

#include <algorithm>
#include <vector>

#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/sparse/kernels/spmm_micro.h>

namespace espalier::sparse {
namespace {

// Multiply-accumulates of a piece of work, about.
constexpr int64_t kGrainMacs = 1 << 15;

/// Throws unless a (rows, cols) times b makes sense; what the result is to be written to.
Tensor product_of(int64_t rows, int64_t cols, DType dtype, const Tensor& b) {
  ESPALIER_CHECK(b.rank() == 2 && b.size(0) == cols,
                 ShapeError,
                 "spmm: expects b (",
                 cols,
                 ",N) for a (",
                 rows,
                 ",",
                 cols,
                 "), got ",
                 b.shape());
  ESPALIER_CHECK(b.dtype() == dtype,
                 TypeError,
                 "spmm: expects b of a's type ",
                 name(dtype),
                 ", got ",
                 name(b.dtype()));
  return Tensor::empty({rows, b.size(1)}, dtype);
}

/// `run(job, values, out, first, last)` does rows (of blocks) `first` to `last` of `units`, with a
/// job of single values to begin with.
template <class Run>
Tensor multiplied(
    int64_t rows, int64_t cols, int64_t units, const Tensor& values, const Tensor& b, Run run) {
  Tensor out = product_of(rows, cols, values.dtype(), b);
  const Tensor plain = b.contiguous();
  const int64_t n = out.size(1);
  const int64_t macs = values.numel() * n;
  count_macs(macs);
  const int64_t per_unit = macs / std::max<int64_t>(1, units) + n;
  const int64_t grain = std::max<int64_t>(1, kGrainMacs / std::max<int64_t>(1, per_unit));
  dispatch_floating(values.dtype(), "spmm", [&](auto zero) {
    using T = decltype(zero);
    T* to = out.data<T>();
    parallel_for(units, grain, [&](int64_t begin, int64_t end) {
      const detail::SpmmJob<T> job{.b = plain.data<T>(), .b_rows = cols, .n = n};
      run(job, values.data<T>(), to, begin, end);
    });
  });
  return out;
}

}  // namespace

Tensor spmm(const Csr& a, const Tensor& b) {
  const CsrIndices& at = a.indices();
  return multiplied(
      a.rows(),
      a.cols(),
      a.rows(),
      a.values(),
      b,
      [&]<class T>(detail::SpmmJob<T> job, const T* values, T* out, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t first = at.row_offsets[static_cast<size_t>(i)];
          job.columns = at.columns.data() + first;
          job.values = values + first;
          job.blocks = at.row_offsets[static_cast<size_t>(i) + 1] - first;
          job.out = out + i * job.n;
          detail::spmm_kernel<T>()(job);
        }
      });
}

Tensor spmm(const Bsr& a, const Tensor& b) {
  const CsrIndices& at = a.indices().blocks;
  const BlockShape block = a.block();
  return multiplied(
      a.rows(),
      a.cols(),
      at.rows,
      a.values(),
      b,
      [&]<class T>(detail::SpmmJob<T> job, const T* values, T* out, int64_t begin, int64_t end) {
        job.value_step = block.size();
        job.block_cols = block.cols;
        for (int64_t i = begin; i < end; ++i) {
          const int64_t first = at.row_offsets[static_cast<size_t>(i)];
          const int64_t rows = std::min(block.rows, a.rows() - i * block.rows);
          job.columns = at.columns.data() + first;
          job.blocks = at.row_offsets[static_cast<size_t>(i) + 1] - first;
          for (int64_t r = 0; r < rows; r += detail::kSpmmRows) {
            job.values = values + first * block.size() + r * block.cols;
            job.rows = std::min<int64_t>(detail::kSpmmRows, rows - r);
            job.out = out + (i * block.rows + r) * job.n;
            detail::spmm_kernel<T>()(job);
          }
        }
      });
}

Tensor spmm(const NM& a, const Tensor& b) {
  return multiplied(
      a.rows(),
      a.cols(),
      a.rows(),
      a.values(),
      b,
      [&]<class T>(detail::SpmmJob<T> job, const T* values, T* out, int64_t begin, int64_t end) {
        std::vector<int32_t> columns(static_cast<size_t>(a.row_size()));
        job.columns = columns.data();
        job.blocks = a.row_size();
        for (int64_t i = begin; i < end; ++i) {
          for (int64_t v = 0; v < a.row_size(); ++v) {
            columns[static_cast<size_t>(v)] = static_cast<int32_t>(a.column(i, v));
          }
          job.values = values + i * a.row_size();
          job.out = out + i * job.n;
          detail::spmm_kernel<T>()(job);
        }
      });
}

namespace reference {
namespace {

/// `for_each(add)` calls add(row, column, place among the values) for all stored values in order.
template <class F>
Tensor product(int64_t rows, int64_t cols, const Tensor& values, const Tensor& b, F for_each) {
  Tensor out = product_of(rows, cols, values.dtype(), b);
  out.fill_(0.0);
  const Tensor plain = b.contiguous();
  const int64_t n = out.size(1);
  dispatch_floating(values.dtype(), "spmm", [&](auto zero) {
    using T = decltype(zero);
    for_each([&](int64_t i, int64_t k, int64_t place) {
      for (int64_t j = 0; j < n; ++j) {
        out.data<T>()[i * n + j] += values.data<T>()[place] * plain.data<T>()[k * n + j];
      }
    });
  });
  return out;
}

}  // namespace

Tensor spmm(const Csr& a, const Tensor& b) {
  return product(a.rows(), a.cols(), a.values(), b, [&](auto add) {
    int64_t place = 0;
    for (int64_t i = 0; i < a.rows(); ++i) {
      for (const int32_t column : a.indices().row(i)) add(i, column, place++);
    }
  });
}

Tensor spmm(const Bsr& a, const Tensor& b) {
  return product(a.rows(), a.cols(), a.values(), b, [&](auto add) {
    const BlockShape block = a.block();
    int64_t place = 0;
    for (int64_t i = 0; i < a.indices().blocks.rows; ++i) {
      for (const int32_t column : a.indices().blocks.row(i)) {
        for (int64_t r = i * block.rows; r < (i + 1) * block.rows; ++r) {
          for (int64_t c = column * block.cols; c < (column + 1) * block.cols; ++c, ++place) {
            if (r < a.rows() && c < a.cols()) add(r, c, place);
          }
        }
      }
    }
  });
}

Tensor spmm(const NM& a, const Tensor& b) {
  return product(a.rows(), a.cols(), a.values(), b, [&](auto add) {
    for (int64_t i = 0; i < a.rows(); ++i) {
      for (int64_t v = 0; v < a.row_size(); ++v) add(i, a.column(i, v), i * a.row_size() + v);
    }
  });
}

}  // namespace reference

}  // namespace espalier::sparse
