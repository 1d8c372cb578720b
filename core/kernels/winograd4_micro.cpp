// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/winograd_micro.h>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/winograd4_micro.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

// The points of the interpolation are 0, a, -a, b, -b and infinity. Rows of B^T are the
// coefficients of (x - other points) multiplied out, rows of G and columns of A^T are powers of the
// point, those of G divided by the product of its differences to the others.
#ifndef ESPALIER_CORE_KERNELS_WINOGRAD4_POINTS
#define ESPALIER_CORE_KERNELS_WINOGRAD4_POINTS
namespace espalier::detail::winograd4 {
constexpr float a = 0.625f;
constexpr float b = 1.5f;
constexpr float aa = a * a;
constexpr float bb = b * b;
constexpr float of_zero = 1.0f / (aa * bb);
constexpr float of_a = 0.5f / (aa * (aa - bb));
constexpr float of_b = 0.5f / (bb * (bb - aa));
}  // namespace espalier::detail::winograd4
#endif

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace w4 = winograd4;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr int64_t kVector = hn::MaxLanes(D());

// B^T times a column of six.
HWY_INLINE void input_column4(const V (&x)[6], V (&out)[6]) {
  const D d;
  const V aa = hn::Set(d, w4::aa);
  const V bb = hn::Set(d, w4::bb);
  const V sum = hn::Set(d, w4::aa + w4::bb);
  const V product = hn::Set(d, w4::aa * w4::bb);
  out[0] = hn::MulAdd(product, x[0], hn::NegMulAdd(sum, x[2], x[4]));
  out[5] = hn::MulAdd(product, x[1], hn::NegMulAdd(sum, x[3], x[5]));
  const V even_a = hn::NegMulAdd(bb, x[2], x[4]);
  const V odd_a = hn::NegMulAdd(bb, x[1], x[3]);
  out[1] = hn::MulAdd(hn::Set(d, w4::a), odd_a, even_a);
  out[2] = hn::NegMulAdd(hn::Set(d, w4::a), odd_a, even_a);
  const V even_b = hn::NegMulAdd(aa, x[2], x[4]);
  const V odd_b = hn::NegMulAdd(aa, x[1], x[3]);
  out[3] = hn::MulAdd(hn::Set(d, w4::b), odd_b, even_b);
  out[4] = hn::NegMulAdd(hn::Set(d, w4::b), odd_b, even_b);
}

// A^T times a column of six.
HWY_INLINE void output_column4(const V (&m)[6], V (&y)[4]) {
  const D d;
  const V sum_a = hn::Add(m[1], m[2]);
  const V difference_a = hn::Sub(m[1], m[2]);
  const V sum_b = hn::Add(m[3], m[4]);
  const V difference_b = hn::Sub(m[3], m[4]);
  y[0] = hn::Add(m[0], hn::Add(sum_a, sum_b));
  y[1] = hn::MulAdd(hn::Set(d, w4::a), difference_a, hn::Mul(hn::Set(d, w4::b), difference_b));
  y[2] = hn::MulAdd(hn::Set(d, w4::aa), sum_a, hn::Mul(hn::Set(d, w4::bb), sum_b));
  y[3] = hn::MulAdd(hn::Set(d, w4::a * w4::aa),
                    difference_a,
                    hn::MulAdd(hn::Set(d, w4::b * w4::bb), difference_b, m[5]));
}

// A times a column of four.
HWY_INLINE void gradient_column4(const V (&y)[4], V (&out)[6]) {
  const D d;
  out[0] = y[0];
  out[5] = y[3];
  const V even_a = hn::MulAdd(hn::Set(d, w4::aa), y[2], y[0]);
  const V odd_a = hn::MulAdd(hn::Set(d, w4::a * w4::aa), y[3], hn::Mul(hn::Set(d, w4::a), y[1]));
  out[1] = hn::Add(even_a, odd_a);
  out[2] = hn::Sub(even_a, odd_a);
  const V even_b = hn::MulAdd(hn::Set(d, w4::bb), y[2], y[0]);
  const V odd_b = hn::MulAdd(hn::Set(d, w4::b * w4::bb), y[3], hn::Mul(hn::Set(d, w4::b), y[1]));
  out[3] = hn::Add(even_b, odd_b);
  out[4] = hn::Sub(even_b, odd_b);
}

template <bool Whole>
void input_tiles4(const WinogradInput& job) {
  const D d;
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT x = job.x + tile * 64 + lane;
      float* HWY_RESTRICT out = job.points + tile * 16 + lane;
      V columns[6][6];
      HWY_UNROLL(6)
      for (int j = 0; j < 6; ++j) {
        V column[6];
        HWY_UNROLL(6)
        for (int i = 0; i < 6; ++i) {
          column[i] = Whole || (job.inside >> (6 * i + j) & 1) != 0
                          ? hn::Load(d, x + i * job.row_stride + j * 16)
                          : hn::Zero(d);
        }
        input_column4(column, columns[j]);
      }
      HWY_UNROLL(6)
      for (int i = 0; i < 6; ++i) {
        const V row[6] = {columns[0][i],
                          columns[1][i],
                          columns[2][i],
                          columns[3][i],
                          columns[4][i],
                          columns[5][i]};
        V points[6];
        input_column4(row, points);
        HWY_UNROLL(6)
        for (int j = 0; j < 6; ++j) hn::Store(points[j], d, out + (6 * i + j) * job.point_stride);
      }
    }
  }
}

void input4(const WinogradInput& job) {
  if (job.inside == (uint64_t{1} << 36) - 1) {
    input_tiles4<true>(job);
  } else {
    input_tiles4<false>(job);
  }
}

void output4(const WinogradOutput& job) {
  const D d;
  const V bias = hn::Set(d, job.bias);
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT m = job.points + tile * 16 + lane;
      float* HWY_RESTRICT y = job.y + tile * 64 + lane;
      V columns[6][4];
      HWY_UNROLL(6)
      for (int j = 0; j < 6; ++j) {
        V column[6];
        HWY_UNROLL(6)
        for (int i = 0; i < 6; ++i) column[i] = hn::Load(d, m + (6 * i + j) * job.point_stride);
        output_column4(column, columns[j]);
      }
      HWY_UNROLL(4)
      for (int i = 0; i < 4; ++i) {
        if (i >= job.rows) break;
        const V row[6] = {columns[0][i],
                          columns[1][i],
                          columns[2][i],
                          columns[3][i],
                          columns[4][i],
                          columns[5][i]};
        V out[4];
        output_column4(row, out);
        HWY_UNROLL(4)
        for (int j = 0; j < 4; ++j) {
          if (j < job.cols) hn::Store(hn::Add(out[j], bias), d, y + i * job.row_stride + j * 16);
        }
      }
    }
  }
}

void gradient4(const WinogradGradient& job) {
  const D d;
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT dy = job.dy + tile * 64 + lane;
      float* HWY_RESTRICT out = job.points + tile * 16 + lane;
      V columns[4][6];
      HWY_UNROLL(4)
      for (int j = 0; j < 4; ++j) {
        V column[4];
        HWY_UNROLL(4)
        for (int i = 0; i < 4; ++i) {
          column[i] = i < job.rows && j < job.cols ? hn::Load(d, dy + i * job.row_stride + j * 16)
                                                   : hn::Zero(d);
        }
        gradient_column4(column, columns[j]);
      }
      HWY_UNROLL(6)
      for (int i = 0; i < 6; ++i) {
        const V row[4] = {columns[0][i], columns[1][i], columns[2][i], columns[3][i]};
        V points[6];
        gradient_column4(row, points);
        HWY_UNROLL(6)
        for (int j = 0; j < 6; ++j) hn::Store(points[j], d, out + (6 * i + j) * job.point_stride);
      }
    }
  }
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {

HWY_EXPORT(input4);
HWY_EXPORT(output4);
HWY_EXPORT(gradient4);
namespace {

namespace w4 = winograd4;

ESPALIER_CLONES
void filters4(const float (*g)[kWinogradFilters], float (*u)[kWinogradFilters]) {
  for (int f = 0; f < kWinogradFilters; ++f) {
    float t[6][3];
    for (int j = 0; j < 3; ++j) {
      const float g0 = g[j][f], g1 = g[3 + j][f], g2 = g[6 + j][f];
      const float even_a = w4::of_a * (g0 + w4::aa * g2), odd_a = w4::of_a * w4::a * g1;
      const float even_b = w4::of_b * (g0 + w4::bb * g2), odd_b = w4::of_b * w4::b * g1;
      t[0][j] = w4::of_zero * g0;
      t[1][j] = even_a + odd_a;
      t[2][j] = even_a - odd_a;
      t[3][j] = even_b + odd_b;
      t[4][j] = even_b - odd_b;
      t[5][j] = g2;
    }
    for (int i = 0; i < 6; ++i) {
      const float even_a = w4::of_a * (t[i][0] + w4::aa * t[i][2]);
      const float odd_a = w4::of_a * w4::a * t[i][1];
      const float even_b = w4::of_b * (t[i][0] + w4::bb * t[i][2]);
      const float odd_b = w4::of_b * w4::b * t[i][1];
      u[6 * i][f] = w4::of_zero * t[i][0];
      u[6 * i + 1][f] = even_a + odd_a;
      u[6 * i + 2][f] = even_a - odd_a;
      u[6 * i + 3][f] = even_b + odd_b;
      u[6 * i + 4][f] = even_b - odd_b;
      u[6 * i + 5][f] = t[i][2];
    }
  }
}

ESPALIER_CLONES
void filter_gradients4(const float (*s)[kWinogradFilters], float (*g)[kWinogradFilters]) {
  for (int f = 0; f < kWinogradFilters; ++f) {
    float t[3][6];
    for (int j = 0; j < 6; ++j) {
      const float sum_a = w4::of_a * (s[6 + j][f] + s[12 + j][f]);
      const float sum_b = w4::of_b * (s[18 + j][f] + s[24 + j][f]);
      t[0][j] = w4::of_zero * s[j][f] + sum_a + sum_b;
      t[1][j] = w4::of_a * w4::a * (s[6 + j][f] - s[12 + j][f]) +
                w4::of_b * w4::b * (s[18 + j][f] - s[24 + j][f]);
      t[2][j] = w4::aa * sum_a + w4::bb * sum_b + s[30 + j][f];
    }
    for (int i = 0; i < 3; ++i) {
      const float sum_a = w4::of_a * (t[i][1] + t[i][2]);
      const float sum_b = w4::of_b * (t[i][3] + t[i][4]);
      g[3 * i][f] = w4::of_zero * t[i][0] + sum_a + sum_b;
      g[3 * i + 1][f] =
          w4::of_a * w4::a * (t[i][1] - t[i][2]) + w4::of_b * w4::b * (t[i][3] - t[i][4]);
      g[3 * i + 2][f] = w4::aa * sum_a + w4::bb * sum_b + t[i][5];
    }
  }
}

}  // namespace

WinogradMicroKernels winograd4_kernels() {
  simd_target();  // chooses the target at the first call
  return {HWY_DYNAMIC_DISPATCH(input4),
          HWY_DYNAMIC_DISPATCH(output4),
          HWY_DYNAMIC_DISPATCH(gradient4),
          filters4,
          filter_gradients4};
}

}  // namespace espalier::detail
#endif
