// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/reduce.h>

#include <algorithm>
#include <array>

#include <espalier/core/parallel.h>

namespace espalier {
namespace {

// Elements of one partial sum: long enough to amortize a task, short enough to fill two cores at 64
// KB.
constexpr int64_t kChunk = 16384;
// Outputs that are accumulated side by side when the innermost dimension is kept.
constexpr int64_t kSide = 256;

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
double sum_run(const T* x, int64_t n, int64_t stride) {
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

// Elements begin..end of the reduced range, walked run by run.
template <class T>
double sum_range(const T* x, const Dims& reduced, int64_t begin, int64_t end) {
  const Dim inner = reduced.inner();
  double sum = 0.0;
  while (begin < end) {
    const int64_t in_run = begin % inner.size;
    const int64_t count = std::min(end - begin, inner.size - in_run);
    sum += sum_run(x + reduced.offset(begin), count, inner.stride);
    begin += count;
  }
  return sum;
}

// The innermost dimension is reduced: each output is a sum of runs.
template <class T>
void sum_rows(const T* x, const Dims& kept, const Dims& reduced, T* out) {
  const int64_t outputs = kept.numel();
  const int64_t length = reduced.numel();
  const int64_t chunks = (length + kChunk - 1) / kChunk;
  std::vector<double> partial(static_cast<size_t>(outputs * chunks));
  const int64_t grain =
      std::max<int64_t>(1, kChunk / std::max<int64_t>(1, std::min(length, kChunk)));
  parallel_for(outputs * chunks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % chunks * kChunk;
      partial[static_cast<size_t>(task)] = sum_range(
          x + kept.offset(task / chunks), reduced, first, std::min(length, first + kChunk));
    }
  });
  for (int64_t o = 0; o < outputs; ++o) {
    double sum = 0.0;
    for (int64_t c = 0; c < chunks; ++c) sum += partial[static_cast<size_t>(o * chunks + c)];
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
  parallel_for(outer.numel() * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t o = task / pieces;
      const int64_t first = task % pieces * kSide;
      const int64_t count = std::min(kSide, side.size - first);
      std::array<double, kSide> sums{};
      const T* base = x + outer.offset(o) + first * side.stride;
      for (int64_t r = 0; r < length; ++r) {
        const T* row = base + reduced.offset(r);
        for (int64_t i = 0; i < count; ++i) {
          sums[static_cast<size_t>(i)] += static_cast<double>(row[i * side.stride]);
        }
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
