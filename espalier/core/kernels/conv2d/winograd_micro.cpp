// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/winograd_micro.h>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/conv2d/winograd_micro.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/core/kernels/conv2d/winograd_forms-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Reads through a job's map, as scale_shift rounds it.
template <bool kMapped>
struct InputReader {
  V scale, shift;
  bool relu;
  explicit InputReader(const WinogradInput& job)
      : scale(hn::Set(D(), job.scale)), shift(hn::Set(D(), job.shift)), relu(job.relu) {}
  HWY_INLINE V operator()(const float* at) const {
    const V x = hn::Load(D(), at);
    if constexpr (!kMapped) return x;
    const V v = hn::MulAdd(scale, x, shift);
    return relu ? hn::IfThenZeroElse(hn::Le(v, hn::Zero(D())), v) : v;
  }
};

template <class Form, bool kWhole, bool kMapped>
void input_tiles(const WinogradInput& job) {
  constexpr int kWindow = Form::kWindow;
  const D d;
  const InputReader<kMapped> read(job);
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT x = job.x + tile * Form::kSize * 16 + lane;
      float* HWY_RESTRICT out = job.points + tile * 16 + lane;
      V columns[kWindow][kWindow];
      HWY_UNROLL(6)
      for (int j = 0; j < kWindow; ++j) {
        V column[kWindow];
        HWY_UNROLL(6)
        for (int i = 0; i < kWindow; ++i) {
          column[i] = kWhole || (job.inside >> (kWindow * i + j) & 1) != 0
                          ? read(x + i * job.row_stride + j * 16)
                          : hn::Zero(d);
        }
        Form::input(column, columns[j]);
      }
      HWY_UNROLL(6)
      for (int i = 0; i < kWindow; ++i) {
        V row[kWindow], points[kWindow];
        HWY_UNROLL(6)
        for (int j = 0; j < kWindow; ++j) row[j] = columns[j][i];
        Form::input(row, points);
        HWY_UNROLL(6)
        for (int j = 0; j < kWindow; ++j) {
          hn::Store(points[j], d, out + (kWindow * i + j) * job.point_stride);
        }
      }
    }
  }
}

template <class Form>
void input(const WinogradInput& job) {
  if (job.inside == (uint64_t{1} << (Form::kWindow * Form::kWindow)) - 1) {
    job.mapped ? input_tiles<Form, true, true>(job) : input_tiles<Form, true, false>(job);
  } else {
    job.mapped ? input_tiles<Form, false, true>(job) : input_tiles<Form, false, false>(job);
  }
}

template <class Form>
void output(const WinogradOutput& job) {
  constexpr int kWindow = Form::kWindow;
  constexpr int kSize = Form::kSize;
  const D d;
  const V bias = constant(job.bias);
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT m = job.points + tile * 16 + lane;
      float* HWY_RESTRICT y = job.y + tile * kSize * 16 + lane;
      V columns[kWindow][kSize];
      HWY_UNROLL(6)
      for (int j = 0; j < kWindow; ++j) {
        V column[kWindow];
        HWY_UNROLL(6)
        for (int i = 0; i < kWindow; ++i) {
          column[i] = hn::Load(d, m + (kWindow * i + j) * job.point_stride);
        }
        Form::output(column, columns[j]);
      }
      HWY_UNROLL(4)
      for (int i = 0; i < kSize; ++i) {
        if (i >= job.rows) break;
        V row[kWindow], out[kSize];
        HWY_UNROLL(6)
        for (int j = 0; j < kWindow; ++j) row[j] = columns[j][i];
        Form::output(row, out);
        HWY_UNROLL(4)
        for (int j = 0; j < kSize; ++j) {
          if (j < job.cols) hn::Store(hn::Add(out[j], bias), d, y + i * job.row_stride + j * 16);
        }
      }
    }
  }
}

template <class Form>
void gradient(const WinogradGradient& job) {
  constexpr int kWindow = Form::kWindow;
  constexpr int kSize = Form::kSize;
  const D d;
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT dy = job.dy + tile * kSize * 16 + lane;
      float* HWY_RESTRICT out = job.points + tile * 16 + lane;
      V columns[kSize][kWindow];
      HWY_UNROLL(4)
      for (int j = 0; j < kSize; ++j) {
        V column[kSize];
        HWY_UNROLL(4)
        for (int i = 0; i < kSize; ++i) {
          column[i] = i < job.rows && j < job.cols ? hn::Load(d, dy + i * job.row_stride + j * 16)
                                                   : hn::Zero(d);
        }
        Form::gradient(column, columns[j]);
      }
      HWY_UNROLL(6)
      for (int i = 0; i < kWindow; ++i) {
        V row[kSize], points[kWindow];
        HWY_UNROLL(4)
        for (int j = 0; j < kSize; ++j) row[j] = columns[j][i];
        Form::gradient(row, points);
        HWY_UNROLL(6)
        for (int j = 0; j < kWindow; ++j) {
          hn::Store(points[j], d, out + (kWindow * i + j) * job.point_stride);
        }
      }
    }
  }
}

// The dispatch tables take no templates.
void input2(const WinogradInput& job) {
  input<Form2>(job);
}
void input4(const WinogradInput& job) {
  input<Form4>(job);
}
void output2(const WinogradOutput& job) {
  output<Form2>(job);
}
void output4(const WinogradOutput& job) {
  output<Form4>(job);
}
void gradient2(const WinogradGradient& job) {
  gradient<Form2>(job);
}
void gradient4(const WinogradGradient& job) {
  gradient<Form4>(job);
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {

HWY_EXPORT(input2);
HWY_EXPORT(input4);
HWY_EXPORT(output2);
HWY_EXPORT(output4);
HWY_EXPORT(gradient2);
HWY_EXPORT(gradient4);
namespace {

struct Filters2 {
  static constexpr int kWindow = 4;
  // G g
  static ESPALIER_INLINE void transform(const float (&g)[3], float (&u)[4]) {
    const float even = 0.5f * (g[0] + g[2]);
    const float odd = 0.5f * g[1];
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = g[2];
  }
  // G^T s
  static ESPALIER_INLINE void adjoint(const float (&s)[4], float (&g)[3]) {
    const float sum = 0.5f * (s[1] + s[2]);
    g[0] = s[0] + sum;
    g[1] = 0.5f * (s[1] - s[2]);
    g[2] = sum + s[3];
  }
};

struct Filters4 : Points4 {
  static constexpr int kWindow = 6;
  static ESPALIER_INLINE void transform(const float (&g)[3], float (&u)[6]) {
    const float even_a = of_a * (g[0] + aa * g[2]);
    const float odd_a = of_a * a * g[1];
    const float even_b = of_b * (g[0] + bb * g[2]);
    const float odd_b = of_b * b * g[1];
    u[0] = of_zero * g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
  }
  static ESPALIER_INLINE void adjoint(const float (&s)[6], float (&g)[3]) {
    const float sum_a = of_a * (s[1] + s[2]);
    const float sum_b = of_b * (s[3] + s[4]);
    g[0] = of_zero * s[0] + sum_a + sum_b;
    g[1] = of_a * a * (s[1] - s[2]) + of_b * b * (s[3] - s[4]);
    g[2] = aa * sum_a + bb * sum_b + s[5];
  }
};

template <class Form>
ESPALIER_INLINE void transform_filters(const float (*g)[kWinogradFilters],
                                       float (*u)[kWinogradFilters]) {
  constexpr int kWindow = Form::kWindow;
  for (int f = 0; f < kWinogradFilters; ++f) {
    float columns[3][kWindow];
    for (int j = 0; j < 3; ++j) {
      Form::transform({g[j][f], g[3 + j][f], g[6 + j][f]}, columns[j]);
    }
    for (int i = 0; i < kWindow; ++i) {
      float row[kWindow];
      Form::transform({columns[0][i], columns[1][i], columns[2][i]}, row);
      for (int j = 0; j < kWindow; ++j) u[kWindow * i + j][f] = row[j];
    }
  }
}

template <class Form>
ESPALIER_INLINE void transform_filter_gradients(const float (*s)[kWinogradFilters],
                                                float (*g)[kWinogradFilters]) {
  constexpr int kWindow = Form::kWindow;
  for (int f = 0; f < kWinogradFilters; ++f) {
    float columns[kWindow][3];
    for (int j = 0; j < kWindow; ++j) {
      float column[kWindow];
      for (int i = 0; i < kWindow; ++i) column[i] = s[kWindow * i + j][f];
      Form::adjoint(column, columns[j]);
    }
    for (int i = 0; i < 3; ++i) {
      float row[kWindow], out[3];
      for (int j = 0; j < kWindow; ++j) row[j] = columns[j][i];
      Form::adjoint(row, out);
      for (int j = 0; j < 3; ++j) g[3 * i + j][f] = out[j];
    }
  }
}

using Filters = float[kWinogradFilters];
ESPALIER_CLONES void filters2(const Filters* g, Filters* u) {
  transform_filters<Filters2>(g, u);
}
ESPALIER_CLONES void filters4(const Filters* g, Filters* u) {
  transform_filters<Filters4>(g, u);
}
ESPALIER_CLONES void filter_gradients2(const Filters* s, Filters* g) {
  transform_filter_gradients<Filters2>(s, g);
}
ESPALIER_CLONES void filter_gradients4(const Filters* s, Filters* g) {
  transform_filter_gradients<Filters4>(s, g);
}

}  // namespace

WinogradMicroKernels winograd_micro_kernels(WinogradTile tile) {
  simd_target();  // chooses the target at the first call
  if (tile.size == 2) {
    return {HWY_DYNAMIC_DISPATCH(input2),
            HWY_DYNAMIC_DISPATCH(output2),
            HWY_DYNAMIC_DISPATCH(gradient2),
            filters2,
            filter_gradients2};
  }
  return {HWY_DYNAMIC_DISPATCH(input4),
          HWY_DYNAMIC_DISPATCH(output4),
          HWY_DYNAMIC_DISPATCH(gradient4),
          filters4,
          filter_gradients4};
}

}  // namespace espalier::detail
#endif
