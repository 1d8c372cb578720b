// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/reduce.h>

#include <algorithm>
#include <array>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

// Elements of one partial sum: long enough to amortize a task, short enough to fill two cores at 64
// KB.
constexpr int64_t kChunk = 16384;
// Outputs that are accumulated side by side when the innermost dimension is kept.
constexpr int64_t kSide = 256;
// Where the innermost dimension is reduced in shorter runs than the first, so many outputs are
// summed at once at most.
constexpr int64_t kLongRun = 256;
constexpr int64_t kTogether = 64;

struct Dim {
  int64_t size;
  int64_t stride;
};

/// Dimensions of one kind (kept or reduced), outermost first, neighbours merged where contiguous.
struct Dims {
  std::array<Dim, kMaxRank + 1> dims;
  size_t rank = 0;

  void push(int64_t size, int64_t stride) {
    if (size == 1) return;
    if (rank > 0 && dims[rank - 1].stride == size * stride) {
      dims[rank - 1] = {dims[rank - 1].size * size, stride};
    } else {
      dims[rank++] = {size, stride};
    }
  }
  int64_t numel() const {
    int64_t n = 1;
    for (size_t d = 0; d < rank; ++d) n *= dims[d].size;
    return n;
  }
  /// Offset of the index-th element, row-major.
  int64_t offset(int64_t index) const {
    int64_t offset = 0;
    for (size_t d = rank; d-- > 0;) {
      offset += index % dims[d].size * dims[d].stride;
      index /= dims[d].size;
    }
    return offset;
  }
  Dim inner() const { return rank == 0 ? Dim{1, 1} : dims[rank - 1]; }
};

// Eight independent sums: a fixed order that the compiler may vectorize.
template <class T>
ESPALIER_INLINE double sum_run_of(const T* x, int64_t n, int64_t stride) {
  std::array<double, 8> part{};
  int64_t i = 0;
  if (stride == 1) {
    for (; i + 8 <= n; i += 8) {
      for (size_t j = 0; j < 8; ++j) part[j] += static_cast<double>(x[i + static_cast<int64_t>(j)]);
    }
  }
  for (; i < n; ++i) part[static_cast<size_t>(i) % 8] += static_cast<double>(x[i * stride]);
  return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}
ESPALIER_CLONES double sum_run(const float* x, int64_t n, int64_t stride) {
  return sum_run_of(x, n, stride);
}
ESPALIER_CLONES double sum_run(const double* x, int64_t n, int64_t stride) {
  return sum_run_of(x, n, stride);
}

/// sums[k] += the sum of the run of `n` that begins at x + k * step, for k < count.
template <class T>
ESPALIER_INLINE void add_runs_of(
    const T* x, int64_t step, int64_t count, int64_t n, int64_t stride, double* sums) {
  if (n == kLanes && stride == 1) {
    for (int64_t k = 0; k < count; ++k) sums[k] += sum_run_of(x + k * step, kLanes, 1);
    return;
  }
  for (int64_t k = 0; k < count; ++k) sums[k] += sum_run_of(x + k * step, n, stride);
}
ESPALIER_CLONES void add_runs(
    const float* x, int64_t step, int64_t count, int64_t n, int64_t stride, double* sums) {
  add_runs_of(x, step, count, n, stride, sums);
}
ESPALIER_CLONES void add_runs(
    const double* x, int64_t step, int64_t count, int64_t n, int64_t stride, double* sums) {
  add_runs_of(x, step, count, n, stride, sums);
}

/// sums[i] += x[r * step + i] for r = 0, 1, .. rows-1, one after another, and i < kLanes.
template <class T>
ESPALIER_INLINE void add_lanes(const T* x, int64_t step, int64_t rows, double* sums) {
  std::array<double, kLanes> kept;
  for (size_t i = 0; i < kLanes; ++i) kept[i] = sums[i];
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t i = 0; i < kLanes; ++i)
      kept[i] += static_cast<double>(x[r * step + static_cast<int64_t>(i)]);
  }
  for (size_t i = 0; i < kLanes; ++i) sums[i] = kept[i];
}

/// The same for `count` neighbours, `stride` apart.
template <class T>
ESPALIER_INLINE void add_rows_of(
    const T* x, int64_t step, int64_t rows, int64_t stride, int64_t count, double* sums) {
  if (stride == 1 && count == kLanes) return add_lanes(x, step, rows, sums);
  int64_t r = 0;
  if (stride == 1) {
    // Four rows for one load and store of the sums, in the same order.
    for (; r + 4 <= rows; r += 4) {
      const T* a = x + r * step;
      const T* b = a + step;
      const T* c = b + step;
      const T* d = c + step;
      for (int64_t i = 0; i < count; ++i) {
        sums[i] = (((sums[i] + static_cast<double>(a[i])) + static_cast<double>(b[i])) +
                   static_cast<double>(c[i])) +
                  static_cast<double>(d[i]);
      }
    }
    for (; r < rows; ++r) {
      for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<double>(x[r * step + i]);
    }
  }
  for (; r < rows; ++r) {
    for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<double>(x[r * step + i * stride]);
  }
}
ESPALIER_CLONES void add_rows(
    const float* x, int64_t step, int64_t rows, int64_t stride, int64_t count, double* sums) {
  add_rows_of(x, step, rows, stride, count, sums);
}
ESPALIER_CLONES void add_rows(
    const double* x, int64_t step, int64_t rows, int64_t stride, int64_t count, double* sums) {
  add_rows_of(x, step, rows, stride, count, sums);
}

// Elements begin..end of the reduced range, walked run by run, for `count` outputs at once whose
// elements are `step` apart: neighbours in memory, where runs are short.
template <class T>
void sum_range(const T* x,
               const Dims& reduced,
               int64_t begin,
               int64_t end,
               int64_t step,
               int64_t count,
               double* sums) {
  const Dim inner = reduced.inner();
  std::fill_n(sums, count, 0.0);
  while (begin < end) {
    const int64_t in_run = begin % inner.size;
    const int64_t length = std::min(end - begin, inner.size - in_run);
    const T* run = x + reduced.offset(begin);
    if (count == 1) {
      *sums += sum_run(run, length, inner.stride);
    } else {
      add_runs(run, step, count, length, inner.stride, sums);
    }
    begin += length;
  }
}

// The innermost dimension is reduced: each output is a sum of runs.
template <class T>
void sum_rows(const T* x, const Dims& kept, const Dims& reduced, T* out) {
  const int64_t outputs = kept.numel();
  const int64_t length = reduced.numel();
  const int64_t chunks = (length + kChunk - 1) / kChunk;
  const Dim side = kept.inner();
  const int64_t together =
      kept.rank == 0 || reduced.inner().size >= kLongRun ? 1 : std::min(side.size, kTogether);
  const int64_t pieces = (side.size + together - 1) / together;
  const int64_t groups = outputs / side.size * pieces;
  std::vector<double> partial(static_cast<size_t>(outputs * chunks));
  const int64_t elements = std::max<int64_t>(1, std::min(length, kChunk)) * together;
  parallel_for(
      groups * chunks, std::max<int64_t>(1, kChunk / elements), [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const int64_t chunk = task % chunks;
          const int64_t group = task / chunks;
          const int64_t output = group / pieces * side.size + group % pieces * together;
          const int64_t count = std::min(together, side.size - group % pieces * together);
          sum_range(x + kept.offset(output),
                    reduced,
                    chunk * kChunk,
                    std::min(length, (chunk + 1) * kChunk),
                    side.stride,
                    count,
                    partial.data() + chunk * outputs + output);
        }
      });
  for (int64_t o = 0; o < outputs; ++o) {
    double sum = 0.0;
    for (int64_t c = 0; c < chunks; ++c) sum += partial[static_cast<size_t>(c * outputs + o)];
    out[o] = static_cast<T>(sum);
  }
}

// The innermost dimension is kept: neighbouring outputs are accumulated side by side.
template <class T>
void sum_columns(const T* x, const Dims& kept, const Dims& reduced, T* out) {
  const Dim side = kept.inner();
  Dims outer = kept;
  --outer.rank;
  const int64_t pieces = (side.size + kSide - 1) / kSide;
  const int64_t length = reduced.numel();
  const Dim inner = reduced.inner();
  parallel_for(outer.numel() * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t o = task / pieces;
      const int64_t first = task % pieces * kSide;
      const int64_t count = std::min(kSide, side.size - first);
      std::array<double, kSide> sums{};
      const T* base = x + outer.offset(o) + first * side.stride;
      for (int64_t r = 0; r < length; r += inner.size) {
        add_rows(
            base + reduced.offset(r), inner.stride, inner.size, side.stride, count, sums.data());
      }
      for (int64_t i = 0; i < count; ++i) {
        out[o * side.size + first + i] = static_cast<T>(sums[static_cast<size_t>(i)]);
      }
    }
  });
}

}  // namespace

Tensor reduce_sum(const Tensor& a, const std::vector<bool>& over, bool keepdim) {
  ESPALIER_CHECK(static_cast<int>(over.size()) == a.rank(),
                 ShapeError,
                 "sum: expects a flag for each dimension of ",
                 a,
                 ", got ",
                 over.size());
  Shape shape;
  for (int d = 0; d < a.rank(); ++d) {
    if (!over[static_cast<size_t>(d)]) {
      shape.push_back(a.shape()[d]);
    } else if (keepdim) {
      shape.push_back(1);
    }
  }
  const bool lanes = a.layout() == Layout::Nchw16n && a.rank() > 0 && !over[0];
  Tensor out = Tensor::empty(shape, a.dtype(), lanes ? Layout::Nchw16n : Layout::Nchw);
  if (out.numel() == 0) return out;
  if (a.numel() == 0) {
    out.fill_(0.0);
    return out;
  }

  const Tensor source = a.contiguous().physical();
  Dims kept;
  Dims reduced;
  bool inner_kept = true;
  for (int d = 0; d < source.rank(); ++d) {
    const bool is_lane_dim = d == a.rank();
    const bool reduce = over[static_cast<size_t>(is_lane_dim ? 0 : d)];
    (reduce ? reduced : kept).push(source.shape()[d], source.strides()[d]);
    if (source.shape()[d] != 1) inner_kept = !reduce;
  }
  dispatch_floating(a.dtype(), "sum", [&](auto zero) {
    using T = decltype(zero);
    if (inner_kept && kept.rank > 0) {
      sum_columns(source.data<T>(), kept, reduced, out.data<T>());
    } else {
      sum_rows(source.data<T>(), kept, reduced, out.data<T>());
    }
  });
  return out;
}

}  // namespace espalier
