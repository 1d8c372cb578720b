// SPDX-License-Identifier: Apache-2.0
// Compiled with -ffp-contract=off (cmake/EspalierFolder.cmake): products and sums stay apart.
#include <espalier/core/kernels/vector_math.h>

#include <cmath>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/vector_math.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<double>;
using DF = hn::Rebind<float, D>;
using DU = hn::RebindToUnsigned<D>;
using V = hn::Vec<D>;
constexpr int64_t kWidth = hn::MaxLanes(D());

HWY_INLINE V constant(double value) {
  return hn::Set(D(), value);
}

HWY_INLINE V limited(V x, double low, double high) {
  // Comparisons with a NaN are false: it stays.
  const V above = hn::IfThenElse(hn::Lt(x, constant(low)), constant(low), x);
  return hn::IfThenElse(hn::Gt(above, constant(high)), constant(high), above);
}

/// `y`, but where x is NaN that one, made quiet: whatever bits came of it.
HWY_INLINE V keep_nan(V x, V y) {
  return hn::IfThenElse(hn::Eq(x, x), y, hn::Add(x, x));
}

/// c[0] + c[1] x + c[2] x^2 + ..: even and odd powers apart by Horner's rule in x^2, two short
/// chains of operations instead of a long one.
template <int N>
HWY_INLINE V polynomial(V x, const double (&c)[N]) {
  static_assert(N % 2 == 0);
  const V square = hn::Mul(x, x);
  V even = constant(c[N - 2]);
  V odd = constant(c[N - 1]);
  HWY_UNROLL(8)
  for (int i = N - 4; i >= 0; i -= 2) {
    even = hn::Add(hn::Mul(even, square), constant(c[i]));
    odd = hn::Add(hn::Mul(odd, square), constant(c[i + 1]));
  }
  return hn::Add(hn::Mul(odd, x), even);
}

// Coefficients are near-minimax fits in 60 digits (Chebyshev interpolation, mpmath's chebyfit).

/// e^x = scale (1 + rest), scale a power of two, |x| <= 700.
struct Power {
  V scale, rest;
};
HWY_INLINE Power power_of_e(V x) {
  const DU du;
  // (e^r - 1 - r) / r^2 for |r| <= log(2) / 2; e^r is within 6e-14 of itself.
  constexpr double kExp[] = {0.49999999999954746,
                             0.16666666666662554,
                             0.041666666786985556,
                             0.0083333333442683942,
                             0.0013888838910996057,
                             0.00019841224418291944,
                             2.4868002978056964e-5,
                             2.7617685465165069e-6};
  // Adding 1.5 * 2^52 rounds to an integer and leaves it in the lowest bits.
  const V shift = constant(0x1.8p52);
  const V shifted = hn::Add(hn::Mul(x, constant(1.44269504088896340736)), shift);
  const V n = hn::Sub(shifted, shift);
  // log 2 in two parts, the first with so few digits that n times it is exact.
  const V r = hn::Sub(hn::Sub(x, hn::Mul(n, constant(0x1.62e42fefap-1))),
                      hn::Mul(n, constant(0x1.cf79abc9e3b3ap-40)));
  const auto exponent = hn::ShiftLeft<52>(hn::Add(hn::BitCast(du, shifted), hn::Set(du, 1023)));
  return {hn::BitCast(D(), exponent), hn::Add(r, hn::Mul(hn::Mul(r, r), polynomial(r, kExp)))};
}

/// e^x for |x| <= 700.
HWY_INLINE V exp_of(V x) {
  const Power p = power_of_e(x);
  return hn::Add(p.scale, hn::Mul(p.scale, p.rest));
}

/// log((1 + f) 2^k) where 1 + f lies between sqrt(1/2) and sqrt(2).
HWY_INLINE V log_of(V f, V k) {
  // With s = f / (2 + f): (log(1 + f) - 2 s) / s^3, in s^2; log(1 + f) is within 2e-11 of itself.
  constexpr double kLog[] = {
      0.66666666553585538, 0.40000122584584096, 0.28550736405358202, 0.23332761807741403};
  const V s = hn::Div(f, hn::Add(constant(2.0), f));
  const V z = hn::Mul(s, s);
  const V small = hn::Add(hn::Add(s, s), hn::Mul(hn::Mul(s, z), polynomial(z, kLog)));
  return hn::Add(hn::Mul(k, constant(0.69314718055994530942)), small);
}

HWY_INLINE V log_of(V x) {
  const DU du;
  const auto bits = hn::BitCast(du, x);
  // The exponent that leaves a mantissa of sqrt(1/2) to sqrt(2), plus 1024.
  const auto half_root = hn::Set(du, 0x3fe6a09e667f3bcdull);
  const auto biased =
      hn::ShiftRight<52>(hn::Add(hn::Sub(bits, half_root), hn::Set(du, 1024ull << 52)));
  const auto mantissa = hn::Sub(bits, hn::ShiftLeft<52>(hn::Sub(biased, hn::Set(du, 1024ull))));
  const V k = hn::Sub(hn::BitCast(D(), hn::Or(biased, hn::Set(du, 0x4330000000000000ull))),
                      constant(0x1p52 + 1024.0));
  const V result = log_of(hn::Sub(hn::BitCast(D(), mantissa), constant(1.0)), k);
  const V infinity = constant(HUGE_VAL);
  const V of_zero = hn::IfThenElse(hn::Eq(x, constant(0.0)), hn::Neg(infinity), result);
  const V of_infinity = hn::IfThenElse(hn::Eq(x, infinity), x, of_zero);
  const V nan = constant(static_cast<double>(NAN));
  return keep_nan(x, hn::IfThenElse(hn::Lt(x, constant(0.0)), nan, of_infinity));
}

HWY_INLINE V sigmoid_of(V x) {
  const V e = exp_of(limited(hn::Neg(x), -700.0, 700.0));
  return hn::Div(constant(1.0), hn::Add(constant(1.0), e));
}

/// 1 / (1 + e^-x) and 0 where that is beside no float32 but 0: a product with an infinity is NaN
/// then.
HWY_INLINE V share_of(V x) {
  return hn::IfThenElse(hn::Lt(x, constant(-690.0)), constant(0.0), sigmoid_of(x));
}

/// s (1 + x (1 - s)).
HWY_INLINE V silu_derivative(V x) {
  const V s = share_of(x);
  return hn::Mul(s, hn::Add(constant(1.0), hn::Mul(x, hn::Sub(constant(1.0), s))));
}

constexpr double kTwiceRoot = 2.0 * 0.79788456080286535588;  // 2 sqrt(2/pi)
constexpr double kCubic = 0.044715;

/// The share of x that GELU by the hyperbolic tangent leaves.
HWY_INLINE V gelu_share(V x) {
  const V square = hn::Mul(x, x);
  const V slope = hn::Add(constant(kTwiceRoot), hn::Mul(square, constant(kTwiceRoot * kCubic)));
  return keep_nan(x, share_of(hn::Mul(x, slope)));
}

HWY_INLINE V gelu_tanh_derivative(V x) {
  const V s = gelu_share(x);
  const V square = hn::Mul(x, x);
  const V inner =
      hn::Add(constant(kTwiceRoot), hn::Mul(square, constant(3.0 * kTwiceRoot * kCubic)));
  const V slope = hn::Mul(s, hn::Sub(constant(1.0), s));
  // Far out the slope is 0, also beside an infinite x.
  const V change =
      hn::IfThenElse(hn::Eq(slope, constant(0.0)), slope, hn::Mul(hn::Mul(x, slope), inner));
  return hn::Add(s, change);
}

/// tanh |x| = (1 - e) / (1 + e) with e = e^-2|x|; near 0 the difference needs its own digits.
HWY_INLINE V tanh_of(V x) {
  const V size = limited(hn::Abs(x), 0.0, 40.0);
  const Power p = power_of_e(hn::Mul(size, constant(-2.0)));
  const V less_one = hn::Add(hn::Mul(p.scale, p.rest), hn::Sub(p.scale, constant(1.0)));
  const V y = hn::Neg(hn::Div(less_one, hn::Add(constant(2.0), less_one)));
  return keep_nan(x, hn::CopySign(y, x));
}

/// max(x, 0) + log(1 + e^-|x|).
HWY_INLINE V softplus_of(V x) {
  const V e = exp_of(limited(hn::Neg(hn::Abs(x)), -700.0, 0.0));
  // 1 + e is (1 + f) 2^k with f = e or (e - 1) / 2, exact in both cases.
  const auto large = hn::Gt(e, constant(0.41421356237309504880));
  const V f = hn::IfThenElse(large, hn::Mul(hn::Sub(e, constant(1.0)), constant(0.5)), e);
  const V k = hn::IfThenElse(large, constant(1.0), constant(0.0));
  const V positive = hn::IfThenElse(hn::Gt(x, constant(0.0)), x, constant(0.0));
  return keep_nan(x, hn::Add(positive, log_of(f, k)));
}

/// Phi(x), and e^(-x^2 / 2).
struct Normal {
  V cdf, bell;
};
HWY_INLINE Normal normal_of(V x) {
  // (1 + t) Phi(-t) e^(t^2 / 2) for 0 <= t <= 16 in u = (t - 5) / (t + 5), within 8e-12 of itself.
  constexpr double kTail[] = {0.46151582984810679,
                              -0.091552281694861041,
                              0.031030368795029949,
                              0.010002343866327946,
                              -0.026401058343095009,
                              0.024537107041503501,
                              -0.015170150103422507,
                              0.0065210518040101711,
                              -0.0016781710745056973,
                              1.0047026463776347e-5,
                              0.00018984846390860184,
                              -5.2768035427997971e-5,
                              -1.9780578009119705e-5,
                              1.3870077275917677e-6};
  const V t = limited(hn::Abs(x), 0.0, 16.0);
  const V one_more = hn::Add(t, constant(1.0));
  const V five_more = hn::Add(t, constant(5.0));
  // One division for both quotients.
  const V inverse = hn::Div(constant(1.0), hn::Mul(one_more, five_more));
  const V u = hn::Mul(hn::Mul(hn::Sub(t, constant(5.0)), one_more), inverse);
  const V ratio = hn::Mul(hn::Mul(polynomial(u, kTail), five_more), inverse);
  // t has the 24 digits of a float32, its square is exact.
  const V e = exp_of(hn::Mul(hn::Mul(t, t), constant(-0.5)));
  // Beyond 16 both vanish beside the smallest float32.
  const auto far = hn::Gt(hn::Abs(x), constant(16.0));
  const V bell = hn::IfThenElse(far, constant(0.0), e);
  const V tail = hn::Mul(bell, ratio);
  const V cdf = hn::IfThenElse(hn::Gt(x, constant(0.0)), hn::Sub(constant(1.0), tail), tail);
  return {keep_nan(x, cdf), bell};
}

HWY_INLINE V gelu_derivative(V x) {
  const Normal normal = normal_of(x);
  const V density = hn::Mul(normal.bell, constant(0.39894228040143267794));
  return hn::Add(normal.cdf, hn::Mul(x, density));
}

HWY_INLINE hn::Vec<DF> narrow(V v) {
#if HWY_TARGET == HWY_SCALAR
  // Highway's own gives the largest number for infinity.
  return hn::Vec<DF>(static_cast<float>(hn::GetLane(v)));
#else
  return hn::DemoteTo(DF(), v);
#endif
}

/// Calls body(at) for every whole vector, and for the rest of them with copies of their elements.
template <class F>
HWY_INLINE void each(const float* x, float* y, int64_t n, F f) {
  const D d;
  const DF df;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    hn::StoreU(narrow(f(hn::PromoteTo(d, hn::LoadU(df, x + i)))), df, y + i);
  }
  if (i == n) return;
  float buffer[kWidth] = {};
  for (int64_t k = i; k < n; ++k) buffer[k - i] = x[k];
  hn::StoreU(narrow(f(hn::PromoteTo(d, hn::LoadU(df, buffer)))), df, buffer);
  for (int64_t k = i; k < n; ++k) y[k] = buffer[k - i];
}

template <class F>
HWY_INLINE void each(const float* g, const float* x, float* y, int64_t n, F f) {
  const D d;
  const DF df;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const V vx = hn::PromoteTo(d, hn::LoadU(df, x + i));
    hn::StoreU(narrow(f(hn::PromoteTo(d, hn::LoadU(df, g + i)), vx)), df, y + i);
  }
  if (i == n) return;
  float gs[kWidth] = {}, xs[kWidth] = {};
  for (int64_t k = i; k < n; ++k) {
    gs[k - i] = g[k];
    xs[k - i] = x[k];
  }
  const V vx = hn::PromoteTo(d, hn::LoadU(df, xs));
  hn::StoreU(narrow(f(hn::PromoteTo(d, hn::LoadU(df, gs)), vx)), df, xs);
  for (int64_t k = i; k < n; ++k) y[k] = xs[k - i];
}

void MapValue(VectorFunction function, const float* x, float* y, int64_t n) {
  switch (function) {
    case VectorFunction::Exp:
      return each(
          x, y, n, [](V v) HWY_ATTR { return keep_nan(v, exp_of(limited(v, -700.0, 700.0))); });
    case VectorFunction::Log:
      return each(x, y, n, [](V v) HWY_ATTR { return log_of(v); });
    case VectorFunction::Tanh:
      return each(x, y, n, [](V v) HWY_ATTR { return tanh_of(v); });
    case VectorFunction::Sigmoid:
      return each(x, y, n, [](V v) HWY_ATTR { return keep_nan(v, sigmoid_of(v)); });
    case VectorFunction::Softplus:
      return each(x, y, n, [](V v) HWY_ATTR { return softplus_of(v); });
    case VectorFunction::NormalCdf:
      return each(x, y, n, [](V v) HWY_ATTR { return normal_of(v).cdf; });
    case VectorFunction::Gelu:
      return each(x, y, n, [](V v) HWY_ATTR { return hn::Mul(v, normal_of(v).cdf); });
    case VectorFunction::GeluTanh:
      return each(x, y, n, [](V v) HWY_ATTR { return hn::Mul(v, gelu_share(v)); });
    case VectorFunction::Silu:
      return each(x, y, n, [](V v) HWY_ATTR { return keep_nan(v, hn::Mul(v, share_of(v))); });
  }
}

void MapGradient(VectorGradient function, const float* g, const float* x, float* y, int64_t n) {
  switch (function) {
    case VectorGradient::Softplus:
      return each(
          g, x, y, n, [](V vg, V v) HWY_ATTR { return hn::Mul(vg, keep_nan(v, sigmoid_of(v))); });
    case VectorGradient::Gelu:
      return each(g, x, y, n, [](V vg, V v) HWY_ATTR { return hn::Mul(vg, gelu_derivative(v)); });
    case VectorGradient::GeluTanh:
      return each(
          g, x, y, n, [](V vg, V v) HWY_ATTR { return hn::Mul(vg, gelu_tanh_derivative(v)); });
    case VectorGradient::Silu:
      return each(g, x, y, n, [](V vg, V v) HWY_ATTR {
        return hn::Mul(vg, keep_nan(v, silu_derivative(v)));
      });
  }
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
namespace detail {
HWY_EXPORT(MapValue);
HWY_EXPORT(MapGradient);
}  // namespace detail

void vector_map(VectorFunction f, const float* x, float* y, int64_t n) {
  simd_target();  // chooses the target when nobody did yet
  using namespace detail;
  HWY_DYNAMIC_DISPATCH(MapValue)(f, x, y, n);
}

void vector_map(VectorGradient f, const float* g, const float* x, float* y, int64_t n) {
  simd_target();
  using namespace detail;
  HWY_DYNAMIC_DISPATCH(MapGradient)(f, g, x, y, n);
}

void vector_exp(const float* x, float* y, int64_t n) {
  vector_map(VectorFunction::Exp, x, y, n);
}

void vector_exp(const double* x, double* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::exp(x[i]);
}

namespace reference {
namespace {

/// 1 / (1 + e^-2u), and 2u's derivative.
double gelu_share(double x) {
  const double root = std::sqrt(2.0 / std::acos(-1.0));
  return 1.0 / (1.0 + std::exp(-2.0 * root * (x + 0.044715 * x * x * x)));
}
double gelu_slope(double x) {
  return 2.0 * std::sqrt(2.0 / std::acos(-1.0)) * (1.0 + 3.0 * 0.044715 * x * x);
}

}  // namespace

double vector_map(VectorFunction f, double x) {
  const double root = std::sqrt(0.5);
  switch (f) {
    case VectorFunction::Exp:
      return std::exp(x);
    case VectorFunction::Log:
      return std::log(x);
    case VectorFunction::Tanh:
      return std::tanh(x);
    case VectorFunction::Sigmoid:
      return 1.0 / (1.0 + std::exp(-x));
    case VectorFunction::Softplus:
      return (x > 0.0 ? x : 0.0) + std::log1p(std::exp(-std::abs(x)));
    case VectorFunction::NormalCdf:
      return 0.5 * std::erfc(-x * root);
    case VectorFunction::Gelu:
      return x * 0.5 * std::erfc(-x * root);
    case VectorFunction::GeluTanh:
      return x * gelu_share(x);
    case VectorFunction::Silu:
      return x * (1.0 / (1.0 + std::exp(-x)));
  }
  return x;
}

double vector_map(VectorGradient f, double g, double x) {
  if (f == VectorGradient::Softplus) return g / (1.0 + std::exp(-x));
  if (f == VectorGradient::Silu) {
    const double s = 1.0 / (1.0 + std::exp(-x));
    return g * (s * (1.0 + x * (1.0 - s)));
  }
  if (f == VectorGradient::GeluTanh) {
    const double s = gelu_share(x);
    // Far out s is 0 or 1 and its slope 0, while x may be infinite.
    const double slope = s * (1.0 - s);
    return g * (s + (slope == 0.0 ? 0.0 : x * slope * gelu_slope(x)));
  }
  const double part = x * 0.39894228040143267794 * std::exp(-0.5 * x * x);
  return g * (vector_map(VectorFunction::NormalCdf, x) + part);
}

}  // namespace reference
}  // namespace espalier
#endif  // HWY_ONCE
