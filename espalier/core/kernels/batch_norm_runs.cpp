// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/batch_norm_runs.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/batch_norm_runs.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kGroup = 16;  // element i of a run belongs to sample i % 16 of its block

template <class T>
struct Vectors {
  using D = hn::CappedTag<T, 16>;
  using V = hn::Vec<D>;
  static constexpr int64_t kWidth = hn::MaxLanes(D());
  // Vectors of one step: at least four chains, and whole groups of 16 elements.
  static constexpr int64_t kUnroll = kGroup / kWidth > 4 ? kGroup / kWidth : 4;
  static constexpr int64_t kStep = kUnroll * kWidth;

  // Adds accumulators to one sum per place in a group of 16.
  static void spread(const V* acc, double* lanes) {
    HWY_ALIGN T buffer[kStep];
    for (int64_t u = 0; u < kUnroll; ++u) hn::Store(acc[u], D(), buffer + u * kWidth);
    for (int64_t i = 0; i < kStep; ++i) lanes[i % kGroup] += static_cast<double>(buffer[i]);
  }
};

// The first `count` elements at `from`, at most a vector of them; zero beyond.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_some(D d, const T* from, int64_t count) {
  constexpr int64_t kWidth = hn::MaxLanes(D());
  if (HWY_LIKELY(count == kWidth)) return hn::LoadU(d, from);
  HWY_ALIGN T buffer[kWidth] = {};
  for (int64_t i = 0; i < count; ++i) buffer[i] = from[i];
  return hn::Load(d, buffer);
}

template <class D, class T>
HWY_INLINE void store_some(D d, hn::Vec<D> v, T* to, int64_t count) {
  constexpr int64_t kWidth = hn::MaxLanes(D());
  if (HWY_LIKELY(count == kWidth)) return hn::StoreU(v, d, to);
  HWY_ALIGN T buffer[kWidth];
  hn::Store(v, d, buffer);
  for (int64_t i = 0; i < count; ++i) to[i] = buffer[i];
}

/// Sums of x - center and of its square over the valid lanes of a run.
struct Deviations {
  double sum = 0.0;
  double squares = 0.0;
};

template <class T>
Deviations deviations(const T* x, int64_t n, int64_t valid_lanes, T center) {
  using Vs = Vectors<T>;
  const typename Vs::D d;
  typename Vs::V sum[Vs::kUnroll];
  typename Vs::V squares[Vs::kUnroll];
  for (int64_t u = 0; u < Vs::kUnroll; ++u) sum[u] = squares[u] = hn::Zero(d);
  const auto c = hn::Set(d, center);
  int64_t i = 0;
  for (; i + Vs::kStep <= n; i += Vs::kStep) {
    for (int64_t u = 0; u < Vs::kUnroll; ++u) {
      const auto v = hn::Sub(hn::LoadU(d, x + i + u * Vs::kWidth), c);
      sum[u] = hn::Add(sum[u], v);
      squares[u] = hn::MulAdd(v, v, squares[u]);
    }
  }
  double sum_lanes[kGroup] = {};
  double square_lanes[kGroup] = {};
  Vs::spread(sum, sum_lanes);
  Vs::spread(squares, square_lanes);
  for (; i < n; ++i) {
    const double v = static_cast<double>(x[i]) - static_cast<double>(center);
    sum_lanes[i % kGroup] += v;
    square_lanes[i % kGroup] += v * v;
  }
  Deviations out;
  for (int64_t l = 0; l < valid_lanes; ++l) {
    out.sum += sum_lanes[l];
    out.squares += square_lanes[l];
  }
  return out;
}

// About the first element, then about the mean that this gives: the second pass finds the run in
// cache and leaves neither mean nor squares with the rounding of large values.
template <class T>
RunMoments moments(const T* x, int64_t n, int64_t valid_lanes) {
  RunMoments out;
  const int64_t rest = n % kGroup;
  out.count =
      static_cast<double>(n / kGroup * valid_lanes + (rest < valid_lanes ? rest : valid_lanes));
  if (out.count == 0.0) return out;
  const double rough =
      static_cast<double>(x[0]) + deviations(x, n, valid_lanes, x[0]).sum / out.count;
  const T center = static_cast<T>(rough);
  const Deviations exact = deviations(x, n, valid_lanes, center);
  out.mean = static_cast<double>(center) + exact.sum / out.count;
  out.m2 = exact.squares - exact.sum * exact.sum / out.count;
  return out;
}

// Calls body(first element, count) for consecutive vectors; the last may be short.
template <class T, class Body>
HWY_INLINE void each_vector(int64_t n, Body body) {
  constexpr int64_t kWidth = Vectors<T>::kWidth;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) body(i, kWidth);
  if (i < n) body(i, n - i);
}

template <bool kRelu, bool kResidual, class T>
void scale_shift_with(const T* x, const T* residual, int64_t n, const GateCoefficients& k, T* y) {
  const typename Vectors<T>::D d;
  const auto scale = hn::Set(d, static_cast<T>(k.scale));
  const auto shift = hn::Set(d, static_cast<T>(k.shift));
  each_vector<T>(n, [&](int64_t at, int64_t count) HWY_ATTR {
    auto v = hn::MulAdd(scale, load_some(d, x + at, count), shift);
    if constexpr (kResidual) v = hn::Add(v, load_some(d, residual + at, count));
    // A comparison with a NaN is false: it stays.
    if constexpr (kRelu) v = hn::IfThenZeroElse(hn::Le(v, hn::Zero(d)), v);
    store_some(d, v, y + at, count);
  });
}

template <class T>
void scale_shift(const T* x, const T* residual, int64_t n, const GateCoefficients& k, T* y) {
  if (residual == nullptr) {
    k.relu ? scale_shift_with<true, false>(x, residual, n, k, y)
           : scale_shift_with<false, false>(x, residual, n, k, y);
  } else {
    k.relu ? scale_shift_with<true, true>(x, residual, n, k, y)
           : scale_shift_with<false, true>(x, residual, n, k, y);
  }
}

// dy where scale * x + shift > 0 (or NaN, as in relu), by the same operation as scale_shift: the
// sign is that of its output.
template <bool kRelu, class D, class V>
HWY_INLINE V gated(D d, V dy, V x, V scale, V shift) {
  if constexpr (kRelu) {
    return hn::IfThenZeroElse(hn::Le(hn::MulAdd(scale, x, shift), hn::Zero(d)), dy);
  } else {
    return dy;
  }
}

// Sums of g and of g * (x - center) over a run; `gate(vx, i)` gives g of the vector at element i.
// Four chains each hide the latency of the adds.
template <class T, class Gate>
HWY_INLINE void pair_sums(const T* x, int64_t n, T center, double* sums, Gate gate) {
  using Vs = Vectors<T>;
  const typename Vs::D d;
  typename Vs::V sum_g[4], sum_gx[4];
  for (int u = 0; u < 4; ++u) sum_g[u] = sum_gx[u] = hn::Zero(d);
  const auto c = hn::Set(d, center);
  const auto add = [&](int u, int64_t at, int64_t count) HWY_ATTR {
    const auto vx = load_some(d, x + at, count);
    const auto g = gate(vx, at, count);
    sum_g[u] = hn::Add(sum_g[u], g);
    sum_gx[u] = hn::MulAdd(g, hn::Sub(vx, c), sum_gx[u]);
  };
  int64_t i = 0;
  for (; i + 4 * Vs::kWidth <= n; i += 4 * Vs::kWidth) {
    for (int u = 0; u < 4; ++u) add(u, i + u * Vs::kWidth, Vs::kWidth);
  }
  for (; i < n; i += Vs::kWidth) add(0, i, n - i < Vs::kWidth ? n - i : Vs::kWidth);
  sums[0] = sums[1] = 0.0;
  HWY_ALIGN T buffer[Vs::kWidth];
  for (int u = 0; u < 4; ++u) {
    hn::Store(sum_g[u], d, buffer);
    for (int64_t l = 0; l < Vs::kWidth; ++l) sums[0] += static_cast<double>(buffer[l]);
    hn::Store(sum_gx[u], d, buffer);
    for (int64_t l = 0; l < Vs::kWidth; ++l) sums[1] += static_cast<double>(buffer[l]);
  }
}

template <bool kRelu, class T>
void gated_sums(
    const T* dy, const T* x, int64_t n, T center, const GateCoefficients& k, double* sums) {
  const typename Vectors<T>::D d;
  using V = typename Vectors<T>::V;
  const V scale = hn::Set(d, static_cast<T>(k.scale));
  const V shift = hn::Set(d, static_cast<T>(k.shift));
  pair_sums(x, n, center, sums, [&](V vx, int64_t at, int64_t count) HWY_ATTR {
    return gated<kRelu>(d, load_some(d, dy + at, count), vx, scale, shift);
  });
}

template <class T>
void open_sums(const T* dy, const T* x, const T* y, int64_t n, T center, T* g, double* sums) {
  const typename Vectors<T>::D d;
  using V = typename Vectors<T>::V;
  pair_sums(x, n, center, sums, [&](V, int64_t at, int64_t count) HWY_ATTR {
    const V open = hn::IfThenZeroElse(hn::Le(load_some(d, y + at, count), hn::Zero(d)),
                                      load_some(d, dy + at, count));
    store_some(d, open, g + at, count);
    return open;
  });
}

template <bool kRelu, class T>
void gated_combine(
    const T* dy, const T* x, int64_t n, const double* abc, const GateCoefficients& k, T* dx) {
  const typename Vectors<T>::D d;
  const auto a = hn::Set(d, static_cast<T>(abc[0]));
  const auto b = hn::Set(d, static_cast<T>(abc[1]));
  const auto c = hn::Set(d, static_cast<T>(abc[2]));
  const auto scale = hn::Set(d, static_cast<T>(k.scale));
  const auto shift = hn::Set(d, static_cast<T>(k.shift));
  const bool depends_on_x = abc[1] != 0.0;
  each_vector<T>(n, [&](int64_t at, int64_t count) HWY_ATTR {
    const auto vx = load_some(d, x + at, count);
    const auto g = gated<kRelu>(d, load_some(d, dy + at, count), vx, scale, shift);
    // With running statistics dx does not depend on x, which may be infinite: 0 times it is NaN.
    const auto rest = depends_on_x ? hn::MulAdd(b, vx, c) : c;
    store_some(d, hn::MulAdd(a, g, rest), dx + at, count);
  });
}

RunMoments MomentsF32(const float* x, int64_t n, int64_t valid) {
  return moments(x, n, valid);
}
RunMoments MomentsF64(const double* x, int64_t n, int64_t valid) {
  return moments(x, n, valid);
}
void ScaleShiftF32(
    const float* x, const float* residual, int64_t n, const GateCoefficients& k, float* y) {
  scale_shift(x, residual, n, k, y);
}
void OpenSumsF32(
    const float* dy, const float* x, const float* y, int64_t n, double c, float* g, double* sums) {
  open_sums(dy, x, y, n, static_cast<float>(c), g, sums);
}
void ScaleShiftF64(
    const double* x, const double* residual, int64_t n, const GateCoefficients& k, double* y) {
  scale_shift(x, residual, n, k, y);
}
void OpenSumsF64(const double* dy,
                 const double* x,
                 const double* y,
                 int64_t n,
                 double c,
                 double* g,
                 double* sums) {
  open_sums(dy, x, y, n, static_cast<double>(c), g, sums);
}
void SumsF32(
    const float* dy, const float* x, int64_t n, double c, const GateCoefficients& k, double* sums) {
  const auto center = static_cast<float>(c);
  k.relu ? gated_sums<true>(dy, x, n, center, k, sums)
         : gated_sums<false>(dy, x, n, center, k, sums);
}
void SumsF64(const double* dy,
             const double* x,
             int64_t n,
             double c,
             const GateCoefficients& k,
             double* sums) {
  k.relu ? gated_sums<true>(dy, x, n, c, k, sums) : gated_sums<false>(dy, x, n, c, k, sums);
}
void CombineF32(const float* dy,
                const float* x,
                int64_t n,
                const double* abc,
                const GateCoefficients& k,
                float* dx) {
  k.relu ? gated_combine<true>(dy, x, n, abc, k, dx) : gated_combine<false>(dy, x, n, abc, k, dx);
}
void CombineF64(const double* dy,
                const double* x,
                int64_t n,
                const double* abc,
                const GateCoefficients& k,
                double* dx) {
  k.relu ? gated_combine<true>(dy, x, n, abc, k, dx) : gated_combine<false>(dy, x, n, abc, k, dx);
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {

HWY_EXPORT(MomentsF32);
HWY_EXPORT(MomentsF64);
HWY_EXPORT(ScaleShiftF32);
HWY_EXPORT(OpenSumsF32);
HWY_EXPORT(ScaleShiftF64);
HWY_EXPORT(OpenSumsF64);
HWY_EXPORT(SumsF32);
HWY_EXPORT(SumsF64);
HWY_EXPORT(CombineF32);
HWY_EXPORT(CombineF64);

RunMoments run_moments(const float* x, int64_t n, int64_t valid_lanes) {
  return HWY_DYNAMIC_DISPATCH(MomentsF32)(x, n, valid_lanes);
}
RunMoments run_moments(const double* x, int64_t n, int64_t valid_lanes) {
  return HWY_DYNAMIC_DISPATCH(MomentsF64)(x, n, valid_lanes);
}
void run_scale_shift(
    const float* x, const float* residual, int64_t n, const GateCoefficients& k, float* y) {
  HWY_DYNAMIC_DISPATCH(ScaleShiftF32)(x, residual, n, k, y);
}
void run_open_sums(const float* dy,
                   const float* x,
                   const float* y,
                   int64_t n,
                   double center,
                   float* g,
                   double sums[2]) {
  HWY_DYNAMIC_DISPATCH(OpenSumsF32)(dy, x, y, n, center, g, sums);
}
void run_scale_shift(
    const double* x, const double* residual, int64_t n, const GateCoefficients& k, double* y) {
  HWY_DYNAMIC_DISPATCH(ScaleShiftF64)(x, residual, n, k, y);
}
void run_open_sums(const double* dy,
                   const double* x,
                   const double* y,
                   int64_t n,
                   double center,
                   double* g,
                   double sums[2]) {
  HWY_DYNAMIC_DISPATCH(OpenSumsF64)(dy, x, y, n, center, g, sums);
}
void run_gated_sums(const float* dy,
                    const float* x,
                    int64_t n,
                    double center,
                    const GateCoefficients& gate,
                    double sums[2]) {
  HWY_DYNAMIC_DISPATCH(SumsF32)(dy, x, n, center, gate, sums);
}
void run_gated_sums(const double* dy,
                    const double* x,
                    int64_t n,
                    double center,
                    const GateCoefficients& gate,
                    double sums[2]) {
  HWY_DYNAMIC_DISPATCH(SumsF64)(dy, x, n, center, gate, sums);
}
void run_gated_combine(const float* dy,
                       const float* x,
                       int64_t n,
                       const double abc[3],
                       const GateCoefficients& gate,
                       float* dx) {
  HWY_DYNAMIC_DISPATCH(CombineF32)(dy, x, n, abc, gate, dx);
}
void run_gated_combine(const double* dy,
                       const double* x,
                       int64_t n,
                       const double abc[3],
                       const GateCoefficients& gate,
                       double* dx) {
  HWY_DYNAMIC_DISPATCH(CombineF64)(dy, x, n, abc, gate, dx);
}

}  // namespace espalier::detail
#endif  // HWY_ONCE
