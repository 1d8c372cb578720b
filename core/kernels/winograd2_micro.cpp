// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/winograd_micro.h>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/winograd2_micro.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr int64_t kVector = hn::MaxLanes(D());

// B^T times a column of four.
HWY_INLINE void input_column2(V& a, V& b, V& c, V& d) {
  const V first = hn::Sub(a, c);
  const V second = hn::Add(b, c);
  const V third = hn::Sub(c, b);
  d = hn::Sub(b, d);
  a = first;
  b = second;
  c = third;
}

template <bool Whole>
void input_tiles2(const WinogradInput& job) {
  const D d;
  for (int64_t t = 0; t < job.tiles; ++t) {
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT x = job.x + t * 32 + lane;
      float* HWY_RESTRICT out = job.points + t * 16 + lane;
      V v[4][4];
      HWY_UNROLL(4)
      for (int i = 0; i < 4; ++i) {
        HWY_UNROLL(4)
        for (int j = 0; j < 4; ++j) {
          v[i][j] = Whole || (job.inside >> (4 * i + j) & 1) != 0
                        ? hn::Load(d, x + i * job.row_stride + j * 16)
                        : hn::Zero(d);
        }
      }
      HWY_UNROLL(4)
      for (int j = 0; j < 4; ++j) input_column2(v[0][j], v[1][j], v[2][j], v[3][j]);
      HWY_UNROLL(4)
      for (int i = 0; i < 4; ++i) {
        input_column2(v[i][0], v[i][1], v[i][2], v[i][3]);
        HWY_UNROLL(4)
        for (int j = 0; j < 4; ++j) hn::Store(v[i][j], d, out + (4 * i + j) * job.point_stride);
      }
    }
  }
}

void input2(const WinogradInput& job) {
  if (job.inside == 0xffff) {
    input_tiles2<true>(job);
  } else {
    input_tiles2<false>(job);
  }
}

void output2(const WinogradOutput& job) {
  const D d;
  const V bias = hn::Set(d, job.bias);
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT m = job.points + tile * 16 + lane;
      float* HWY_RESTRICT y = job.y + tile * 32 + lane;
      V t[2][4];
      HWY_UNROLL(4)
      for (int j = 0; j < 4; ++j) {
        const V m0 = hn::Load(d, m + j * job.point_stride);
        const V m1 = hn::Load(d, m + (4 + j) * job.point_stride);
        const V m2 = hn::Load(d, m + (8 + j) * job.point_stride);
        const V m3 = hn::Load(d, m + (12 + j) * job.point_stride);
        t[0][j] = hn::Add(hn::Add(m0, m1), m2);
        t[1][j] = hn::Sub(hn::Sub(m1, m2), m3);
      }
      HWY_UNROLL(2)
      for (int i = 0; i < 2; ++i) {
        if (i >= job.rows) break;
        const V left = hn::Add(hn::Add(t[i][0], t[i][1]), t[i][2]);
        const V right = hn::Sub(hn::Sub(t[i][1], t[i][2]), t[i][3]);
        hn::Store(hn::Add(left, bias), d, y + i * job.row_stride);
        if (job.cols == 2) hn::Store(hn::Add(right, bias), d, y + i * job.row_stride + 16);
      }
    }
  }
}

void gradient2(const WinogradGradient& job) {
  const D d;
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT dy = job.dy + tile * 32 + lane;
      float* HWY_RESTRICT out = job.points + tile * 16 + lane;
      const auto at = [&](int i, int j) {
        return i < job.rows && j < job.cols ? hn::Load(d, dy + i * job.row_stride + j * 16)
                                            : hn::Zero(d);
      };
      V t[4][2];
      HWY_UNROLL(2)
      for (int j = 0; j < 2; ++j) {
        const V top = at(0, j);
        const V bottom = at(1, j);
        t[0][j] = top;
        t[1][j] = hn::Add(top, bottom);
        t[2][j] = hn::Sub(top, bottom);
        t[3][j] = hn::Neg(bottom);
      }
      HWY_UNROLL(4)
      for (int i = 0; i < 4; ++i) {
        float* HWY_RESTRICT row = out + 4 * i * job.point_stride;
        hn::Store(t[i][0], d, row);
        hn::Store(hn::Add(t[i][0], t[i][1]), d, row + job.point_stride);
        hn::Store(hn::Sub(t[i][0], t[i][1]), d, row + 2 * job.point_stride);
        hn::Store(hn::Neg(t[i][1]), d, row + 3 * job.point_stride);
      }
    }
  }
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {

HWY_EXPORT(input2);
HWY_EXPORT(output2);
HWY_EXPORT(gradient2);
namespace {

ESPALIER_CLONES
void filters2(const float (*g)[kWinogradFilters], float (*u)[kWinogradFilters]) {
  for (int f = 0; f < kWinogradFilters; ++f) {
    float t[4][3];
    for (int j = 0; j < 3; ++j) {
      const float sum = 0.5f * (g[j][f] + g[6 + j][f]);
      const float middle = 0.5f * g[3 + j][f];
      t[0][j] = g[j][f];
      t[1][j] = sum + middle;
      t[2][j] = sum - middle;
      t[3][j] = g[6 + j][f];
    }
    for (int i = 0; i < 4; ++i) {
      const float sum = 0.5f * (t[i][0] + t[i][2]);
      const float middle = 0.5f * t[i][1];
      u[4 * i][f] = t[i][0];
      u[4 * i + 1][f] = sum + middle;
      u[4 * i + 2][f] = sum - middle;
      u[4 * i + 3][f] = t[i][2];
    }
  }
}

ESPALIER_CLONES
void filter_gradients2(const float (*s)[kWinogradFilters], float (*g)[kWinogradFilters]) {
  for (int f = 0; f < kWinogradFilters; ++f) {
    float t[3][4];
    for (int j = 0; j < 4; ++j) {
      const float sum = 0.5f * (s[4 + j][f] + s[8 + j][f]);
      t[0][j] = s[j][f] + sum;
      t[1][j] = 0.5f * (s[4 + j][f] - s[8 + j][f]);
      t[2][j] = sum + s[12 + j][f];
    }
    for (int i = 0; i < 3; ++i) {
      const float sum = 0.5f * (t[i][1] + t[i][2]);
      g[3 * i][f] = t[i][0] + sum;
      g[3 * i + 1][f] = 0.5f * (t[i][1] - t[i][2]);
      g[3 * i + 2][f] = sum + t[i][3];
    }
  }
}

}  // namespace

WinogradMicroKernels winograd2_kernels() {
  simd_target();  // chooses the target at the first call
  return {HWY_DYNAMIC_DISPATCH(input2),
          HWY_DYNAMIC_DISPATCH(output2),
          HWY_DYNAMIC_DISPATCH(gradient2),
          filters2,
          filter_gradients2};
}

}  // namespace espalier::detail
#endif
