// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/arithmetic.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <type_traits>

#include <espalier/core/detail/element.h>
#include <espalier/core/loops.h>

namespace espalier {
namespace {

// `value` as an element of a tensor: whole and in range where that is.
void check_element(double value, DType dtype, const char* op) {
  const bool fits = dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    if (std::is_floating_point_v<T>) return true;
    // The largest int64 is no double; the one that it rounds to is too large.
    const auto past = std::ldexp(1.0, std::numeric_limits<T>::digits);
    return std::trunc(value) == value && value < past &&
           value >= static_cast<double>(std::numeric_limits<T>::lowest());
  });
  ESPALIER_CHECK(fits,
                 TypeError,
                 op,
                 ": ",
                 value,
                 " is no ",
                 name(dtype),
                 "; convert the tensor first, with to(DType::F32)");
}

// For one element type, in which smaller ones than int are computed too.
template <class F>
Tensor apply(const char* op, const Tensor& a, const Tensor& b, F f) {
  ESPALIER_CHECK(a.dtype() == b.dtype(),
                 TypeError,
                 op,
                 ": expects two tensors of one element type, got ",
                 a,
                 " and ",
                 b,
                 "; convert one of them, with to(dtype)");
  const Broadcast result = broadcast(a, b, op);
  Tensor out = Tensor::empty(result.shape, a.dtype(), result.layout);
  if (out.numel() == 0) return out;
  dispatch(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(out, a, b, [f](T x, T y) { return static_cast<T>(f(x, y)); });
  });
  return out;
}

Tensor add(const Tensor& a, const Tensor& b) {
  return apply("+", a, b, std::plus<>());
}
Tensor subtract(const Tensor& a, const Tensor& b) {
  return apply("-", a, b, std::minus<>());
}
Tensor multiply(const Tensor& a, const Tensor& b) {
  return apply("*", a, b, std::multiplies<>());
}
Tensor divide(const Tensor& a, const Tensor& b) {
  for (const Tensor* operand : {&a, &b}) {
    ESPALIER_CHECK(is_floating(operand->dtype()),
                   TypeError,
                   "/: expects float32 or float64, got ",
                   *operand,
                   "; convert it first, with to(DType::F32)");
  }
  return apply("/", a, b, std::divides<>());
}

// A number beside `other`, which decides on its type.
Tensor number(double value, const Tensor& other, const char* op) {
  check_element(value, other.dtype(), op);
  return Tensor::scalar(value, other.dtype());
}

// True when `same` holds for all pairs of numbers, in logical order, as float64 or as they are.
template <class T, class F>
bool all_pairs(const Tensor& a, const Tensor& b, F same) {
  const std::vector<T> x = a.to_vector<T>();
  const std::vector<T> y = b.to_vector<T>();
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), same);
}

}  // namespace

Tensor operator+(const Tensor& a, const Tensor& b) {
  return add(a, b);
}
Tensor operator-(const Tensor& a, const Tensor& b) {
  return subtract(a, b);
}
Tensor operator*(const Tensor& a, const Tensor& b) {
  return multiply(a, b);
}
Tensor operator/(const Tensor& a, const Tensor& b) {
  return divide(a, b);
}
Tensor operator+(const Tensor& a, double b) {
  return add(a, number(b, a, "+"));
}
Tensor operator-(const Tensor& a, double b) {
  return subtract(a, number(b, a, "-"));
}
Tensor operator*(const Tensor& a, double b) {
  return multiply(a, number(b, a, "*"));
}
Tensor operator/(const Tensor& a, double b) {
  return divide(a, number(b, a, "/"));
}
Tensor operator+(double a, const Tensor& b) {
  return add(number(a, b, "+"), b);
}
Tensor operator-(double a, const Tensor& b) {
  return subtract(number(a, b, "-"), b);
}
Tensor operator*(double a, const Tensor& b) {
  return multiply(number(a, b, "*"), b);
}
Tensor operator/(double a, const Tensor& b) {
  return divide(number(a, b, "/"), b);
}
Tensor operator-(const Tensor& a) {
  return multiply(a, number(-1.0, a, "-"));
}

bool equal(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  return dispatch(a.dtype(),
                  [&](auto zero) { return all_pairs<decltype(zero)>(a, b, std::equal_to<>()); });
}

bool all_close(const Tensor& a, const Tensor& b, const CloseOptions& options) {
  ESPALIER_CHECK(a.shape() == b.shape(),
                 ShapeError,
                 "all_close: expects two tensors of one shape, got ",
                 a,
                 " and ",
                 b);
  return all_pairs<double>(a, b, [&](double x, double y) {
    if (std::isnan(x) && std::isnan(y)) return options.equal_nan;
    if (x == y) return true;
    return std::isfinite(x) && std::isfinite(y) &&
           std::abs(x - y) <= options.atol + options.rtol * std::abs(y);
  });
}

Tensor argmax(const Tensor& a, std::optional<int> dim, bool keepdim) {
  if (dim) {
    *dim = a.shape().wrap(*dim, "argmax");
  } else if (keepdim) {
    Shape ones = a.shape();
    for (int d = 0; d < ones.rank(); ++d) ones[d] = 1;
    return argmax(a).reshape(ones);
  }
  const Tensor plain = a.to(Layout::Nchw).contiguous();
  const int64_t width = dim ? a.size(*dim) : a.numel();
  ESPALIER_CHECK(width > 0, ValueError, "argmax: no elements to choose from in ", a);
  // Elements of a row are `step` apart; rows of one outer index lie side by side.
  const int64_t step = dim ? plain.strides()[*dim] : 1;
  Tensor out = Tensor::empty(dim ? a.shape().without(*dim) : Shape{}, DType::I64);
  int64_t* places = out.data<int64_t>();
  dispatch(plain.dtype(), [&](auto zero) {
    const auto* x = plain.data<decltype(zero)>();
    for (int64_t r = 0; r < out.numel(); ++r) {
      const auto* row = x + r / step * step * width + r % step;
      const auto is_nan = [](auto value) { return value != value; };
      int64_t best = 0;
      for (int64_t i = 1; i < width && !is_nan(row[best * step]); ++i) {
        if (row[i * step] > row[best * step] || is_nan(row[i * step])) best = i;
      }
      places[r] = best;
    }
  });
  return keepdim ? out.reshape(a.shape().with(*dim, 1)) : out;
}

void set_item(Tensor& tensor, std::initializer_list<int64_t> index, double value) {
  check_element(value, tensor.dtype(), "set_item");
  const int64_t offset = detail::element_offset(tensor, index, "set_item");
  dispatch(tensor.dtype(), [&](auto zero) {
    tensor.data<decltype(zero)>()[offset] = static_cast<decltype(zero)>(value);
  });
}

}  // namespace espalier
