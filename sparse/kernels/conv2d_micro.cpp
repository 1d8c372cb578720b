// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d_micro.h>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/sparse/kernels/conv2d_micro.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::sparse::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr int64_t kVector = hn::MaxLanes(D());

// Rows whose sums fit the registers at once: all of them in 32 registers, half of them in 16.
template <int Rows>
constexpr int kRowsAtOnce = kVector == 16 ? Rows : Rows / 2;

// Entries first..last of one output channel into R x C positions, full vectors in memory or not.
template <int R, int C, int Step>
HWY_INLINE void sum_segment(const Entry* HWY_RESTRICT first,
                            const Entry* HWY_RESTRICT last,
                            const float* HWY_RESTRICT const* x,
                            V (&acc)[R][C]) {
  const D d;
  for (const Entry* e = first; e != last; ++e) {
    const V w = hn::Set(d, e->value);
    const int64_t offset = e->offset;
    HWY_UNROLL(8)
    for (int r = 0; r < R; ++r) {
      HWY_UNROLL(4)
      for (int c = 0; c < C; ++c) {
        acc[r][c] = hn::MulAdd(w, hn::Load(d, x[r] + offset + c * Step * 16), acc[r][c]);
      }
    }
  }
}

template <int R, int C, int Step>
void segments(const SegmentJob& job, int first_row) {
  const D d;
  const int rows = job.rows - first_row < R ? job.rows - first_row : R;
  const bool full = rows == R && job.cols == C;
  for (int64_t lane = 0; lane < 16; lane += kVector) {
    const float* x[R];
    int64_t y_rows[R];
    for (int r = 0; r < R; ++r) {
      const int row = first_row + (r < rows ? r : 0);  // what is not stored reads an existing row
      x[r] = job.x + job.x_rows[row] + lane;
      y_rows[r] = job.y_rows[row] + lane;
    }
    for (int64_t k = 0; k < job.channels; ++k) {
      const Entry* begin = job.entries + job.bounds[k];
      const Entry* end = job.entries + job.bounds[k + 1];
      if (job.accumulate && begin == end) continue;
      float* HWY_RESTRICT y = job.y + k * job.y_channel_stride;
      V acc[R][C];
      if (job.accumulate && full) {
        HWY_UNROLL(8)
        for (int r = 0; r < R; ++r) {
          HWY_UNROLL(4)
          for (int c = 0; c < C; ++c) acc[r][c] = hn::Load(d, y + y_rows[r] + c * job.y_step);
        }
      } else {
        const V start = hn::Set(d, job.start != nullptr && !job.accumulate ? job.start[k] : 0.0f);
        HWY_UNROLL(8)
        for (int r = 0; r < R; ++r) {
          HWY_UNROLL(4)
          for (int c = 0; c < C; ++c) acc[r][c] = start;
        }
      }
      sum_segment<R, C, Step>(begin, end, x, acc);
      if (full) {
        HWY_UNROLL(8)
        for (int r = 0; r < R; ++r) {
          HWY_UNROLL(4)
          for (int c = 0; c < C; ++c) hn::Store(acc[r][c], d, y + y_rows[r] + c * job.y_step);
        }
        continue;
      }
      alignas(64) float buffer[R * C * kVector];
      HWY_UNROLL(8)
      for (int r = 0; r < R; ++r) {
        HWY_UNROLL(4)
        for (int c = 0; c < C; ++c) hn::Store(acc[r][c], d, buffer + (r * C + c) * kVector);
      }
      for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < job.cols; ++c) {
          float* at = y + y_rows[r] + c * job.y_step;
          V v = hn::Load(d, buffer + (r * C + c) * kVector);
          if (job.accumulate) v = hn::Add(v, hn::Load(d, at));
          hn::Store(v, d, at);
        }
      }
    }
  }
}

template <int Rows, int C>
void tile_segments(const SegmentJob& job) {
  constexpr int R = kRowsAtOnce<Rows>;
  for (int row = 0; row < job.rows; row += R) {
    if (job.step_two) {
      segments<R, C, 2>(job, row);
    } else {
      segments<R, C, 1>(job, row);
    }
  }
}

void segment(const SegmentJob& job) {
  if (job.tall) {
    tile_segments<kTallRows, kTallCols>(job);
  } else {
    tile_segments<kTileRows, kTileCols>(job);
  }
}

template <int R, int C, int Step>
void gradients(const GradientJob& job, int first_row) {
  const D d;
  const int rows = job.rows - first_row < R ? job.rows - first_row : R;
  const bool full = rows == R && job.cols == C;
  for (int64_t lane = 0; lane < 16; lane += kVector) {
    const float* HWY_RESTRICT x[R];
    int64_t dy_rows[R];
    for (int r = 0; r < R; ++r) {
      const int row = first_row + (r < rows ? r : 0);
      x[r] = job.x + job.x_rows[row] + lane;
      dy_rows[r] = job.dy_rows[row] + lane;
    }
    float* HWY_RESTRICT partial = job.partials + job.bounds[0] * 16 + lane;
    for (int64_t k = 0; k < job.channels; ++k) {
      const Entry* e = job.entries + job.bounds[k];
      const Entry* end = job.entries + job.bounds[k + 1];
      if (e == end) continue;
      const float* HWY_RESTRICT dy = job.dy + k * job.dy_channel_stride;
      V g[R][C];
      if (full) {
        HWY_UNROLL(8)
        for (int r = 0; r < R; ++r) {
          HWY_UNROLL(4)
          for (int c = 0; c < C; ++c) g[r][c] = hn::Load(d, dy + dy_rows[r] + c * 16);
        }
      } else {
        alignas(64) float buffer[R * C * kVector] = {};
        for (int r = 0; r < rows; ++r) {
          for (int c = 0; c < job.cols; ++c) {
            hn::Store(hn::Load(d, dy + dy_rows[r] + c * 16), d, buffer + (r * C + c) * kVector);
          }
        }
        HWY_UNROLL(8)
        for (int r = 0; r < R; ++r) {
          HWY_UNROLL(4)
          for (int c = 0; c < C; ++c) g[r][c] = hn::Load(d, buffer + (r * C + c) * kVector);
        }
      }
      for (; e != end; ++e, partial += 16) {
        const int64_t offset = e->offset;
        // Four chains hide the latency of the adds.
        V sum[4] = {hn::Load(d, partial), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
        HWY_UNROLL(8)
        for (int r = 0; r < R; ++r) {
          HWY_UNROLL(4)
          for (int c = 0; c < C; ++c) {
            V& s = sum[(r * C + c) % 4];
            s = hn::MulAdd(g[r][c], hn::Load(d, x[r] + offset + c * Step * 16), s);
          }
        }
        hn::Store(hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3])), d, partial);
      }
    }
  }
}

template <int Rows, int C>
void tile_gradients(const GradientJob& job) {
  constexpr int R = kRowsAtOnce<Rows>;
  for (int row = 0; row < job.rows; row += R) {
    if (job.step_two) {
      gradients<R, C, 2>(job, row);
    } else {
      gradients<R, C, 1>(job, row);
    }
  }
}

void gradient(const GradientJob& job) {
  if (job.tall) {
    tile_gradients<kTallRows, kTallCols>(job);
  } else {
    tile_gradients<kTileRows, kTileCols>(job);
  }
}

}  // namespace espalier::sparse::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::sparse::detail {

HWY_EXPORT(segment);
HWY_EXPORT(gradient);

SparseConvKernels sparse_conv_kernels() {
  simd_target();  // chooses the target at the first call
  return {HWY_DYNAMIC_DISPATCH(segment), HWY_DYNAMIC_DISPATCH(gradient)};
}

}  // namespace espalier::sparse::detail
#endif
