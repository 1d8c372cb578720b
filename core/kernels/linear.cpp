// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/linear.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/kernels/linear_check.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

constexpr int64_t kRowChunk = 32;     // output rows of one task
constexpr int64_t kBlockGroup = 4;    // sample blocks that share one walk over a sparse row
constexpr double kSparseBelow = 0.5;  // density below which skipping beats register blocking

/// Half of the sixteen lanes: what one AVX2 register holds of float32.
template <class T>
struct Half {
  typedef T type __attribute__((vector_size(8 * sizeof(T)), aligned(8 * sizeof(T))));
};

/// Sixteen lanes in two registers.
template <class T>
struct Lanes {
  using V = typename Half<T>::type;
  V lo{}, hi{};

  ESPALIER_INLINE void add_product(T scale, const T* x) {
    const V* v = reinterpret_cast<const V*>(x);
    lo += scale * v[0];
    hi += scale * v[1];
  }
  ESPALIER_INLINE void add_product(const T* x, const T* y) {
    const V* v = reinterpret_cast<const V*>(x);
    const V* w = reinterpret_cast<const V*>(y);
    lo += v[0] * w[0];
    hi += v[1] * w[1];
  }
  ESPALIER_INLINE void store(T* y) const {
    V* v = reinterpret_cast<V*>(y);
    v[0] = lo;
    v[1] = hi;
  }
  ESPALIER_INLINE T sum() const {
    const V v = lo + hi;
    return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
  }
};

/// Rows [first, last) of y = W x for one sample block; W's element (r, c) is w[r * rs + c * cs].
template <class T, int kRows>
ESPALIER_INLINE void dense_rows(
    const T* w, int64_t rs, int64_t cs, int64_t cols, const T* bias, const T* x, T* y) {
  Lanes<T> acc[kRows];
  for (int r = 0; r < kRows; ++r)
    acc[r].lo = acc[r].hi = bias ? typename Half<T>::type{} + bias[r] : typename Half<T>::type{};
  for (int64_t c = 0; c < cols; ++c) {
    for (int r = 0; r < kRows; ++r) acc[r].add_product(w[r * rs + c * cs], x + c * kLanes);
  }
  for (int r = 0; r < kRows; ++r) acc[r].store(y + r * kLanes);
}

template <class T>
ESPALIER_INLINE void dense_chunk(const T* w,
                                 int64_t rs,
                                 int64_t cs,
                                 int64_t cols,
                                 const T* bias,
                                 const T* x,
                                 T* y,
                                 int64_t first,
                                 int64_t last) {
  int64_t r = first;
  for (; r + 4 <= last; r += 4) {
    dense_rows<T, 4>(w + r * rs, rs, cs, cols, bias ? bias + r : nullptr, x, y + r * kLanes);
  }
  for (; r < last; ++r) {
    dense_rows<T, 1>(w + r * rs, rs, cs, cols, bias ? bias + r : nullptr, x, y + r * kLanes);
  }
}

/// The kept weights of a matrix, row by row.
template <class T>
struct SparseRows {
  std::vector<int64_t> start;
  std::vector<int32_t> col;
  std::vector<T> value;
};

template <class T, int kBlocks>
ESPALIER_INLINE void sparse_row(const int32_t* col,
                                const T* value,
                                int64_t count,
                                T bias,
                                const T* x,
                                int64_t x_block,
                                T* y,
                                int64_t y_block) {
  Lanes<T> acc[kBlocks];
  for (int b = 0; b < kBlocks; ++b) acc[b].lo = acc[b].hi = typename Half<T>::type{} + bias;
  for (int64_t i = 0; i < count; ++i) {
    for (int b = 0; b < kBlocks; ++b) {
      acc[b].add_product(value[i], x + b * x_block + col[i] * kLanes);
    }
  }
  for (int b = 0; b < kBlocks; ++b) acc[b].store(y + b * y_block);
}

template <class T>
ESPALIER_INLINE void sparse_chunk(const SparseRows<T>& w,
                                  const T* bias,
                                  const T* x,
                                  int64_t x_block,
                                  T* y,
                                  int64_t y_block,
                                  int64_t blocks,
                                  int64_t first,
                                  int64_t last) {
  for (int64_t r = first; r < last; ++r) {
    const int64_t begin = w.start[static_cast<size_t>(r)];
    const int64_t count = w.start[static_cast<size_t>(r) + 1] - begin;
    const int32_t* col = w.col.data() + begin;
    const T* value = w.value.data() + begin;
    const T b = bias ? bias[r] : T{0};
    if (blocks == kBlockGroup) {
      sparse_row<T, kBlockGroup>(col, value, count, b, x, x_block, y + r * kLanes, y_block);
    } else {
      for (int64_t n = 0; n < blocks; ++n) {
        sparse_row<T, 1>(col, value, count, b, x + n * x_block, 0, y + n * y_block + r * kLanes, 0);
      }
    }
  }
}

/// dweight[o][i] for outputs o, o+1.. and inputs i, i+1..: sums over sample blocks, then over
/// lanes.
template <class T, int kOut, int kIn>
ESPALIER_INLINE void weight_tile(const T* x,
                                 int64_t x_block,
                                 const T* dy,
                                 int64_t y_block,
                                 int64_t blocks,
                                 const int64_t* in,
                                 T* dw,
                                 int64_t dw_stride) {
  Lanes<T> acc[kOut][kIn];
  for (int64_t n = 0; n < blocks; ++n) {
    for (int o = 0; o < kOut; ++o) {
      for (int i = 0; i < kIn; ++i) {
        acc[o][i].add_product(dy + n * y_block + o * kLanes, x + n * x_block + in[i] * kLanes);
      }
    }
  }
  for (int o = 0; o < kOut; ++o) {
    for (int i = 0; i < kIn; ++i) dw[o * dw_stride + in[i]] = acc[o][i].sum();
  }
}

template <class T>
ESPALIER_INLINE void weight_rows(const T* x,
                                 const T* dy,
                                 int64_t blocks,
                                 int64_t outs,
                                 int64_t ins,
                                 int64_t o,
                                 int64_t rows,
                                 T* dw) {
  const int64_t xb = ins * kLanes;
  const int64_t yb = outs * kLanes;
  for (int64_t i = 0; i < ins; i += 2) {
    const int64_t in[2] = {i, i + 1};
    const T* g = dy + o * kLanes;
    T* row = dw + o * ins;
    if (rows == 2 && i + 1 < ins) {
      weight_tile<T, 2, 2>(x, xb, g, yb, blocks, in, row, ins);
    } else {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t k = 0; k < std::min<int64_t>(2, ins - i); ++k) {
          weight_tile<T, 1, 1>(x, xb, g + r * kLanes, yb, blocks, in + k, row + r * ins, ins);
        }
      }
    }
  }
}

template <class T>
ESPALIER_INLINE void weight_kept(const T* x,
                                 const T* dy,
                                 int64_t blocks,
                                 int64_t outs,
                                 int64_t ins,
                                 int64_t o,
                                 const uint8_t* keep,
                                 T* dw) {
  const int64_t xb = ins * kLanes;
  const int64_t yb = outs * kLanes;
  int64_t in[4];
  int filled = 0;
  for (int64_t i = 0; i < ins; ++i) {
    dw[o * ins + i] = T{0};
    if (!keep[o * ins + i]) continue;
    in[filled++] = i;
    if (filled == 4) {
      weight_tile<T, 1, 4>(x, xb, dy + o * kLanes, yb, blocks, in, dw + o * ins, ins);
      filled = 0;
    }
  }
  for (int k = 0; k < filled; ++k) {
    weight_tile<T, 1, 1>(x, xb, dy + o * kLanes, yb, blocks, in + k, dw + o * ins, ins);
  }
}

// The cloned entry points: one per element type and kind.
#define ESPALIER_LINEAR_KERNELS(T)                                         \
  ESPALIER_CLONES void run_dense(const T* w,                               \
                                 int64_t rs,                               \
                                 int64_t cs,                               \
                                 int64_t cols,                             \
                                 const T* bias,                            \
                                 const T* x,                               \
                                 T* y,                                     \
                                 int64_t first,                            \
                                 int64_t last) {                           \
    dense_chunk<T>(w, rs, cs, cols, bias, x, y, first, last);              \
  }                                                                        \
  ESPALIER_CLONES void run_sparse(const SparseRows<T>& w,                  \
                                  const T* bias,                           \
                                  const T* x,                              \
                                  int64_t x_block,                         \
                                  T* y,                                    \
                                  int64_t y_block,                         \
                                  int64_t blocks,                          \
                                  int64_t first,                           \
                                  int64_t last) {                          \
    sparse_chunk<T>(w, bias, x, x_block, y, y_block, blocks, first, last); \
  }                                                                        \
  ESPALIER_CLONES void run_weight(const T* x,                              \
                                  const T* dy,                             \
                                  int64_t blocks,                          \
                                  int64_t outs,                            \
                                  int64_t ins,                             \
                                  int64_t o,                               \
                                  int64_t rows,                            \
                                  T* dw) {                                 \
    weight_rows<T>(x, dy, blocks, outs, ins, o, rows, dw);                 \
  }                                                                        \
  ESPALIER_CLONES void run_weight_kept(const T* x,                         \
                                       const T* dy,                        \
                                       int64_t blocks,                     \
                                       int64_t outs,                       \
                                       int64_t ins,                        \
                                       int64_t o,                          \
                                       const uint8_t* keep,                \
                                       T* dw) {                            \
    weight_kept<T>(x, dy, blocks, outs, ins, o, keep, dw);                 \
  }
ESPALIER_LINEAR_KERNELS(float)
ESPALIER_LINEAR_KERNELS(double)
#undef ESPALIER_LINEAR_KERNELS

double density(const Tensor& keep) {
  const uint8_t* m = keep.data<uint8_t>();
  int64_t kept = 0;
  for (int64_t i = 0; i < keep.numel(); ++i) kept += m[i];
  return keep.numel() == 0 ? 1.0 : static_cast<double>(kept) / static_cast<double>(keep.numel());
}

/// Kept weights of the (rows, cols) matrix, stored by rows (column stride cs 1) or by columns.
template <class T>
SparseRows<T> sparse_rows(const T* w, const uint8_t* keep, int64_t cs, int64_t rows, int64_t cols) {
  SparseRows<T> out;
  out.start.assign(static_cast<size_t>(rows) + 1, 0);
  // Counting first, then filling, walks the memory in order whichever way the matrix is turned.
  const bool by_row = cs == 1;
  const int64_t outer = by_row ? rows : cols;
  const int64_t inner = by_row ? cols : rows;
  const auto each = [&](auto body) {
    for (int64_t a = 0; a < outer; ++a) {
      for (int64_t b = 0; b < inner; ++b) {
        if (keep[a * inner + b]) body(by_row ? a : b, by_row ? b : a, w[a * inner + b]);
      }
    }
  };
  each([&](int64_t r, int64_t, T) { ++out.start[static_cast<size_t>(r) + 1]; });
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) out.start[r + 1] += out.start[r];
  const auto nnz = static_cast<size_t>(out.start.back());
  out.col.resize(nnz);
  out.value.resize(nnz);
  std::vector<int64_t> next(out.start.begin(), out.start.end() - 1);
  each([&](int64_t r, int64_t c, T value) {
    const auto slot = static_cast<size_t>(next[static_cast<size_t>(r)]++);
    out.col[slot] = static_cast<int32_t>(c);
    out.value[slot] = value;
  });
  return out;
}

/// y = W x with W (rows, cols) of strides (rs, cs): forward and, with W turned, backward-data.
void multiply(const Tensor& x,
              const Tensor& weight,
              const Tensor& bias,
              const Tensor& keep,
              Tensor& y,
              int64_t rs,
              int64_t cs) {
  const int64_t rows = y.size(1);
  const int64_t cols = x.size(1);
  const int64_t blocks = lane_blocks(x.size(0));
  const int64_t chunks = (rows + kRowChunk - 1) / kRowChunk;
  const bool sparse = keep.defined() && density(keep) < kSparseBelow;
  dispatch_floating(x.dtype(), "linear", [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.data<T>();
    const T* pb = bias.defined() ? bias.data<T>() : nullptr;
    T* py = y.data<T>();
    const int64_t xb = cols * kLanes;
    const int64_t yb = rows * kLanes;
    if (sparse) {
      const SparseRows<T> w = sparse_rows(weight.data<T>(), keep.data<uint8_t>(), cs, rows, cols);
      const int64_t groups = (blocks + kBlockGroup - 1) / kBlockGroup;
      parallel_for(groups * chunks, 1, [&](int64_t task, int64_t) {
        const int64_t block = task / chunks * kBlockGroup;
        const int64_t first = task % chunks * kRowChunk;
        run_sparse(w,
                   pb,
                   px + block * xb,
                   xb,
                   py + block * yb,
                   yb,
                   std::min(kBlockGroup, blocks - block),
                   first,
                   std::min(rows, first + kRowChunk));
      });
      return;
    }
    const Tensor masked = keep.defined() ? detail::masked_weight(weight, keep) : weight;
    const T* pw = masked.data<T>();
    parallel_for(blocks * chunks, 1, [&](int64_t task, int64_t) {
      const int64_t block = task / chunks;
      const int64_t first = task % chunks * kRowChunk;
      run_dense(pw,
                rs,
                cs,
                cols,
                pb,
                px + block * xb,
                py + block * yb,
                first,
                std::min(rows, first + kRowChunk));
    });
  });
  // Padding lanes have received the bias.
  if (bias.defined()) zero_padding_lanes(y);
}

}  // namespace

void linear_forward(
    const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& keep, Tensor& y) {
  detail::check_linear(x, weight, bias, keep, y, Layout::Nchw16n, "linear_forward");
  multiply(
      x, weight.contiguous(), bias.defined() ? bias.contiguous() : bias, keep, y, x.size(1), 1);
}

void linear_backward_data(const Tensor& dy, const Tensor& weight, const Tensor& keep, Tensor& dx) {
  detail::check_linear(dx, weight, {}, keep, dy, Layout::Nchw16n, "linear_backward_data");
  multiply(dy, weight.contiguous(), {}, keep, dx, 1, dx.size(1));
}

void linear_backward_weight(const Tensor& x,
                            const Tensor& dy,
                            const Tensor& keep,
                            Tensor& dweight) {
  detail::check_linear(x, dweight, {}, keep, dy, Layout::Nchw16n, "linear_backward_weight");
  const int64_t outs = dy.size(1);
  const int64_t ins = x.size(1);
  const int64_t blocks = lane_blocks(x.size(0));
  const bool sparse = keep.defined() && density(keep) < kSparseBelow;
  dispatch_floating(x.dtype(), "linear", [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.data<T>();
    const T* pg = dy.data<T>();
    T* dw = dweight.data<T>();
    const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, ins)) * 2;
    parallel_for(outs, grain, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; o += sparse ? 1 : 2) {
        if (sparse) {
          run_weight_kept(px, pg, blocks, outs, ins, o, keep.data<uint8_t>(), dw);
        } else {
          run_weight(px, pg, blocks, outs, ins, o, std::min<int64_t>(2, end - o), dw);
        }
      }
    });
    if (keep.defined() && !sparse) dweight.copy_(detail::masked_weight(dweight, keep));
  });
}

}  // namespace espalier
