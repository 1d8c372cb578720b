// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops/vector_map.h>

#include <espalier/autograd/ops/detail.h>
#include <espalier/core/loops.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

constexpr int64_t kGrain = 16384;

}  // namespace

Tensor map(VectorFunction f, const Tensor& a, std::string_view op) {
  Tensor out = Tensor::empty_like(a);
  if (a.dtype() == DType::F32) {
    const Tensor from = a.contiguous();
    const float* x = from.data<float>();
    float* y = out.data<float>();
    parallel_for(from.physical_numel(), kGrain, [=](int64_t begin, int64_t end) {
      vector_map(f, x + begin, y + begin, end - begin);
    });
    zero_padding_lanes(out);
    return out;
  }
  dispatch_floating(a.dtype(), op, [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T>(out, a, [f](T x) { return static_cast<T>(reference::vector_map(f, x)); });
  });
  return out;
}

Tensor map(VectorGradient f, const Tensor& gradient, const Tensor& a, std::string_view op) {
  check_same_dtype(gradient, a, op);
  Tensor out = Tensor::empty_like(a);
  if (a.dtype() == DType::F32) {
    const Tensor from = a.contiguous();
    Tensor spread = gradient.to(a.layout());
    if (spread.shape() != a.shape() || !spread.is_contiguous()) {
      // Written where the result goes: the kernel reads an element before it writes it.
      map_into<float, float>(out, spread, [](float g) { return g; });
      spread = out;
    }
    const float* g = std::as_const(spread).data<float>();
    const float* x = from.data<float>();
    float* y = out.data<float>();
    parallel_for(from.physical_numel(), kGrain, [=](int64_t begin, int64_t end) {
      vector_map(f, g + begin, x + begin, y + begin, end - begin);
    });
    zero_padding_lanes(out);
    return out;
  }
  dispatch_floating(a.dtype(), op, [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(
        out, gradient, a, [f](T g, T x) { return static_cast<T>(reference::vector_map(f, g, x)); });
  });
  return out;
}

}  // namespace espalier::detail
