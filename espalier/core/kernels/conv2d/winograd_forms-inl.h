// SPDX-License-Identifier: Apache-2.0
/// The one-dimensional transforms of Winograd's F(2, 3) and F(4, 3) on vectors. Included once for
/// every SIMD target. Not a public interface.
#if defined(ESPALIER_CORE_KERNELS_WINOGRAD_FORMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_CORE_KERNELS_WINOGRAD_FORMS_INL_H_
#undef ESPALIER_CORE_KERNELS_WINOGRAD_FORMS_INL_H_
#else
#define ESPALIER_CORE_KERNELS_WINOGRAD_FORMS_INL_H_
#endif

// A two-dimensional transform is a one-dimensional one over columns, then over rows. Rows of B^T
// are the coefficients of the product of (x - p) over the other points p; rows of G and columns of
// A^T are the powers of a point, those of G divided by the product of its differences to the
// others.
#ifndef ESPALIER_CORE_KERNELS_WINOGRAD_POINTS
#define ESPALIER_CORE_KERNELS_WINOGRAD_POINTS
namespace espalier::detail {
// F(4, 3) has the points 0, a, -a, b, -b and infinity.
struct Points4 {
  static constexpr float a = 0.625f;
  static constexpr float b = 1.5f;
  static constexpr float aa = a * a;
  static constexpr float bb = b * b;
  // One over the differences of 0, +-a and +-b to the others.
  static constexpr float of_zero = 1.0f / (aa * bb);
  static constexpr float of_a = 0.5f / (aa * (aa - bb));
  static constexpr float of_b = 0.5f / (bb * (bb - aa));
};
}  // namespace espalier::detail
#endif

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr int64_t kVector = hn::MaxLanes(D());

HWY_INLINE V constant(float x) {
  return hn::Set(D(), x);
}

struct Form2 {
  static constexpr int kSize = 2;
  static constexpr int kWindow = 4;

  // B^T x
  static HWY_INLINE void input(const V (&x)[4], V (&out)[4]) {
    out[0] = hn::Sub(x[0], x[2]);
    out[1] = hn::Add(x[1], x[2]);
    out[2] = hn::Sub(x[2], x[1]);
    out[3] = hn::Sub(x[1], x[3]);
  }
  // A^T m
  static HWY_INLINE void output(const V (&m)[4], V (&y)[2]) {
    y[0] = hn::Add(hn::Add(m[0], m[1]), m[2]);
    y[1] = hn::Sub(hn::Sub(m[1], m[2]), m[3]);
  }
  // A y
  static HWY_INLINE void gradient(const V (&y)[2], V (&out)[4]) {
    out[0] = y[0];
    out[1] = hn::Add(y[0], y[1]);
    out[2] = hn::Sub(y[0], y[1]);
    out[3] = hn::Neg(y[1]);
  }
};

struct Form4 : Points4 {
  static constexpr int kSize = 4;
  static constexpr int kWindow = 6;

  static HWY_INLINE void input(const V (&x)[6], V (&out)[6]) {
    const V sum = constant(aa + bb);
    const V product = constant(aa * bb);
    out[0] = hn::MulAdd(product, x[0], hn::NegMulAdd(sum, x[2], x[4]));
    out[5] = hn::MulAdd(product, x[1], hn::NegMulAdd(sum, x[3], x[5]));
    const V even_a = hn::NegMulAdd(constant(bb), x[2], x[4]);
    const V odd_a = hn::NegMulAdd(constant(bb), x[1], x[3]);
    out[1] = hn::MulAdd(constant(a), odd_a, even_a);
    out[2] = hn::NegMulAdd(constant(a), odd_a, even_a);
    const V even_b = hn::NegMulAdd(constant(aa), x[2], x[4]);
    const V odd_b = hn::NegMulAdd(constant(aa), x[1], x[3]);
    out[3] = hn::MulAdd(constant(b), odd_b, even_b);
    out[4] = hn::NegMulAdd(constant(b), odd_b, even_b);
  }
  static HWY_INLINE void output(const V (&m)[6], V (&y)[4]) {
    const V sum_a = hn::Add(m[1], m[2]);
    const V difference_a = hn::Sub(m[1], m[2]);
    const V sum_b = hn::Add(m[3], m[4]);
    const V difference_b = hn::Sub(m[3], m[4]);
    y[0] = hn::Add(m[0], hn::Add(sum_a, sum_b));
    y[1] = hn::MulAdd(constant(a), difference_a, hn::Mul(constant(b), difference_b));
    y[2] = hn::MulAdd(constant(aa), sum_a, hn::Mul(constant(bb), sum_b));
    y[3] = hn::MulAdd(
        constant(a * aa), difference_a, hn::MulAdd(constant(b * bb), difference_b, m[5]));
  }
  static HWY_INLINE void gradient(const V (&y)[4], V (&out)[6]) {
    out[0] = y[0];
    out[5] = y[3];
    const V even_a = hn::MulAdd(constant(aa), y[2], y[0]);
    const V odd_a = hn::MulAdd(constant(a * aa), y[3], hn::Mul(constant(a), y[1]));
    out[1] = hn::Add(even_a, odd_a);
    out[2] = hn::Sub(even_a, odd_a);
    const V even_b = hn::MulAdd(constant(bb), y[2], y[0]);
    const V odd_b = hn::MulAdd(constant(b * bb), y[3], hn::Mul(constant(b), y[1]));
    out[3] = hn::Add(even_b, odd_b);
    out[4] = hn::Sub(even_b, odd_b);
  }
};

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // ESPALIER_CORE_KERNELS_WINOGRAD_FORMS_INL_H_
