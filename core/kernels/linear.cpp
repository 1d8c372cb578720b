// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/linear.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/kernels/linear_check.h>
#include <espalier/core/kernels/linear_rows.h>
#include <espalier/core/kernels/vector8.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

constexpr int64_t kRowChunk = 32;   // output rows of one task
constexpr int64_t kBlockGroup = 4;  // sample blocks that share one walk over a sparse row

/// Sixteen lanes in two registers.
template <class T>
struct Lanes {
  using V = Vector8<T>;
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
    acc[r].lo = acc[r].hi = bias ? Vector8<T>{} + bias[r] : Vector8<T>{};
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
  for (int b = 0; b < kBlocks; ++b) acc[b].lo = acc[b].hi = Vector8<T>{} + bias;
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
                                 const int32_t* in,
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
    const int32_t in[2] = {static_cast<int32_t>(i), static_cast<int32_t>(i) + 1};
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

/// One row of dweight at its kept columns.
template <class T>
ESPALIER_INLINE void weight_kept(const T* x,
                                 int64_t x_block,
                                 const T* dy,
                                 int64_t y_block,
                                 int64_t blocks,
                                 const int32_t* kept,
                                 int64_t count,
                                 T* dw) {
  int64_t k = 0;
  for (; k + 4 <= count; k += 4)
    weight_tile<T, 1, 4>(x, x_block, dy, y_block, blocks, kept + k, dw, 0);
  for (; k < count; ++k) weight_tile<T, 1, 1>(x, x_block, dy, y_block, blocks, kept + k, dw, 0);
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
                                       int64_t x_block,                    \
                                       const T* dy,                        \
                                       int64_t y_block,                    \
                                       int64_t blocks,                     \
                                       const int32_t* kept,                \
                                       int64_t count,                      \
                                       T* dw) {                            \
    weight_kept<T>(x, x_block, dy, y_block, blocks, kept, count, dw);      \
  }
ESPALIER_LINEAR_KERNELS(float)
ESPALIER_LINEAR_KERNELS(double)
#undef ESPALIER_LINEAR_KERNELS

// Below this density, skipping removed weights beats register blocking over all.
constexpr double kSparseBelow = 0.5;

/// The kept columns of each row when it pays to walk over them only.
struct Skip {
  explicit Skip(const Tensor& keep) {
    if (!keep.defined()) return;
    start = row_starts(keep);
    pays = static_cast<double>(start.back()) < kSparseBelow * static_cast<double>(keep.numel());
  }
  std::vector<int64_t> start;
  bool pays = false;
};

/// y = W x per sample, with W the weight (forward) or turned on its side (backward-data).
void multiply(const Tensor& x,
              const Tensor& weight,
              const Tensor& bias,
              const Tensor& keep,
              Tensor& y,
              bool turned) {
  const int64_t rows = y.size(1);
  const int64_t cols = x.size(1);
  const int64_t rs = turned ? 1 : cols;
  const int64_t cs = turned ? rows : 1;
  const int64_t blocks = lane_blocks(x.size(0));
  const int64_t chunks = (rows + kRowChunk - 1) / kRowChunk;
  Skip skip(keep);
  if (!turned) count_macs(x.size(0) * (skip.pays ? skip.start.back() : rows * cols));
  dispatch_floating(x.dtype(), "linear", [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.data<T>();
    const T* pb = bias.defined() ? bias.data<T>() : nullptr;
    T* py = y.data<T>();
    const int64_t xb = cols * kLanes;
    const int64_t yb = rows * kLanes;
    if (skip.pays) {
      SparseRows<T> w = sparse_rows<T>(weight, keep, std::move(skip.start));
      if (turned) w = transposed(w, rows);
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
  multiply(x, weight.contiguous(), bias.defined() ? bias.contiguous() : bias, keep, y, false);
}

void linear_backward_data(const Tensor& dy, const Tensor& weight, const Tensor& keep, Tensor& dx) {
  detail::check_linear(dx, weight, {}, keep, dy, Layout::Nchw16n, "linear_backward_data");
  multiply(dy, weight.contiguous(), {}, keep, dx, true);
}

void linear_backward_weight(const Tensor& x,
                            const Tensor& dy,
                            const Tensor& keep,
                            Tensor& dweight) {
  detail::check_linear(x, dweight, {}, keep, dy, Layout::Nchw16n, "linear_backward_weight");
  const int64_t outs = dy.size(1);
  const int64_t ins = x.size(1);
  const int64_t blocks = lane_blocks(x.size(0));
  Skip skip(keep);
  dispatch_floating(x.dtype(), "linear", [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.data<T>();
    const T* pg = dy.data<T>();
    T* dw = dweight.data<T>();
    const int64_t xb = ins * kLanes;
    const int64_t yb = outs * kLanes;
    // Tiles are two rows high, so a task has an even number of them.
    const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, ins)) * 2;
    if (skip.pays) {
      dweight.fill_(0.0);
      const std::vector<int32_t> kept = kept_columns(keep, skip.start);
      parallel_for(outs, grain, [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o) {
          const int64_t first = skip.start[static_cast<size_t>(o)];
          const int64_t count = skip.start[static_cast<size_t>(o) + 1] - first;
          run_weight_kept(
              px, xb, pg + o * kLanes, yb, blocks, kept.data() + first, count, dw + o * ins);
        }
      });
      return;
    }
    parallel_for(outs, grain, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; o += 2) {
        run_weight(px, pg, blocks, outs, ins, o, std::min<int64_t>(2, end - o), dw);
      }
    });
    if (keep.defined()) dweight.copy_(detail::masked_weight(dweight, keep));
  });
}

}  // namespace espalier
