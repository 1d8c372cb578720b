// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/sddmm.h>

#include <algorithm>
#include <vector>

#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/sparse/kernels/spmm_micro.h>

namespace espalier::sparse {
namespace {

// Multiply-accumulates of a piece of work, about.
constexpr int64_t kGrainMacs = 1 << 15;

void check(int64_t rows, int64_t cols, DType dtype, const Tensor& a, const Tensor& b) {
  ESPALIER_CHECK(a.rank() == 2 && b.rank() == 2 && a.size(0) == rows && b.size(1) == cols &&
                     a.size(1) == b.size(0),
                 ShapeError,
                 "sddmm: expects a (",
                 rows,
                 ",K) and b (K,",
                 cols,
                 "), got ",
                 a.shape(),
                 " and ",
                 b.shape());
  ESPALIER_CHECK(a.dtype() == dtype && b.dtype() == dtype,
                 TypeError,
                 "sddmm: expects a and b of the type ",
                 name(dtype),
                 ", got ",
                 name(a.dtype()),
                 " and ",
                 name(b.dtype()));
}

/// Where the stored values of a matrix lie: `columns_of(row, list)` appends the columns of a row,
/// and `place(row, i)` is where among the values that of the i-th is.
template <class ColumnsOf, class Place>
struct Positions {
  int64_t rows, cols;
  const Tensor& values;
  ColumnsOf columns_of;
  Place place;
};

template <class At>
Tensor sampled(const At& at, const Tensor& a, const Tensor& b) {
  check(at.rows, at.cols, at.values.dtype(), a, b);
  Tensor out = Tensor::zeros_like(at.values);
  const Tensor left = a.contiguous();
  const Tensor right = b.transpose(0, 1).contiguous();
  const int64_t size = a.size(1);
  count_macs(out.numel() * size);
  const int64_t per_row = out.numel() * size / std::max<int64_t>(1, at.rows);
  const int64_t grain = std::max<int64_t>(1, kGrainMacs / std::max<int64_t>(1, per_row));
  dispatch_floating(out.dtype(), "sddmm", [&](auto zero) {
    using T = decltype(zero);
    T* to = out.data<T>();
    const auto kernel = detail::dots_kernel<T>();
    parallel_for(at.rows, grain, [&](int64_t begin, int64_t end) {
      std::vector<int32_t> columns;
      std::vector<T> sums;
      for (int64_t row = begin; row < end; ++row) {
        columns.clear();
        at.columns_of(row, columns);
        sums.resize(columns.size());
        kernel({.a = left.data<T>() + row * size,
                .b = right.data<T>(),
                .columns = columns.data(),
                .count = static_cast<int64_t>(columns.size()),
                .size = size,
                .out = sums.data()});
        for (size_t i = 0; i < sums.size(); ++i) {
          to[at.place(row, static_cast<int64_t>(i))] = sums[i];
        }
      }
    });
  });
  return out;
}

template <class At>
Tensor sampled_by_loops(const At& at, const Tensor& a, const Tensor& b) {
  check(at.rows, at.cols, at.values.dtype(), a, b);
  Tensor out = Tensor::zeros_like(at.values);
  const Tensor left = a.contiguous();
  const Tensor right = b.contiguous();
  dispatch_floating(out.dtype(), "sddmm", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t row = 0; row < at.rows; ++row) {
      std::vector<int32_t> columns;
      at.columns_of(row, columns);
      for (size_t i = 0; i < columns.size(); ++i) {
        T& sum = out.data<T>()[at.place(row, static_cast<int64_t>(i))];
        for (int64_t k = 0; k < a.size(1); ++k) {
          sum += left.data<T>()[row * a.size(1) + k] * right.data<T>()[k * at.cols + columns[i]];
        }
      }
    }
  });
  return out;
}

/// A matrix of the format of `at` whose values are sample(positions).
template <class Sample>
Csr in_format(const Csr& at, Sample sample) {
  const CsrIndices& indices = at.indices();
  const auto columns_of = [&](int64_t row, std::vector<int32_t>& columns) {
    const auto found = indices.row(row);
    columns.insert(columns.end(), found.begin(), found.end());
  };
  const auto place = [&](int64_t row, int64_t i) {
    return indices.row_offsets[static_cast<size_t>(row)] + i;
  };
  return Csr(indices, sample(Positions{at.rows(), at.cols(), at.values(), columns_of, place}));
}

template <class Sample>
Bsr in_format(const Bsr& at, Sample sample) {
  const CsrIndices& blocks = at.indices().blocks;
  const BlockShape block = at.block();
  // Of a row of blocks only the last may be narrower, so places count whole blocks before it.
  const auto columns_of = [&](int64_t row, std::vector<int32_t>& columns) {
    for (const int32_t column : blocks.row(row / block.rows)) {
      const int64_t first = column * block.cols;
      for (int64_t c = first; c < std::min(at.cols(), first + block.cols); ++c) {
        columns.push_back(static_cast<int32_t>(c));
      }
    }
  };
  const auto place = [&](int64_t row, int64_t i) {
    const int64_t b = blocks.row_offsets[static_cast<size_t>(row / block.rows)] + i / block.cols;
    return (b * block.rows + row % block.rows) * block.cols + i % block.cols;
  };
  return Bsr(at.indices(), sample(Positions{at.rows(), at.cols(), at.values(), columns_of, place}));
}

template <class Sample>
NM in_format(const NM& at, Sample sample) {
  const auto columns_of = [&](int64_t row, std::vector<int32_t>& columns) {
    for (int64_t i = 0; i < at.row_size(); ++i) {
      columns.push_back(static_cast<int32_t>(at.column(row, i)));
    }
  };
  const auto place = [&](int64_t row, int64_t i) { return row * at.row_size() + i; };
  return NM(at.shape(),
            at.cols(),
            at.indices(),
            sample(Positions{at.rows(), at.cols(), at.values(), columns_of, place}));
}

template <class Format>
Format fast(const Format& at, const Tensor& a, const Tensor& b) {
  return in_format(at, [&](const auto& positions) { return sampled(positions, a, b); });
}

template <class Format>
Format plain(const Format& at, const Tensor& a, const Tensor& b) {
  return in_format(at, [&](const auto& positions) { return sampled_by_loops(positions, a, b); });
}

}  // namespace

Csr sddmm(const Csr& at, const Tensor& a, const Tensor& b) {
  return fast(at, a, b);
}
Bsr sddmm(const Bsr& at, const Tensor& a, const Tensor& b) {
  return fast(at, a, b);
}
NM sddmm(const NM& at, const Tensor& a, const Tensor& b) {
  return fast(at, a, b);
}

namespace reference {
Csr sddmm(const Csr& at, const Tensor& a, const Tensor& b) {
  return plain(at, a, b);
}
Bsr sddmm(const Bsr& at, const Tensor& a, const Tensor& b) {
  return plain(at, a, b);
}
NM sddmm(const NM& at, const Tensor& a, const Tensor& b) {
  return plain(at, a, b);
}
}  // namespace reference

}  // namespace espalier::sparse
