// SPDX-License-Identifier: Apache-2.0
// dropout: x times a random mask of 0 and 1/(1-p).  The gradient is multiplied by the same mask.
#include <cmath>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/loops.h>

namespace espalier {
namespace {

constexpr int64_t kGrain = 4096;

/// The mask of elements first, first+1, .. in logical row-major order, `step` apart in memory.
/// Element i takes word i%4 of Philox block i/4 under `key`: nothing else decides it.
template <class T>
void draw(T* out,
          int64_t step,
          int64_t first,
          int64_t count,
          std::array<uint32_t, 2> key,
          uint64_t drop_below,
          T scale) {
  std::array<uint32_t, 4> words{};
  for (int64_t i = first; i < first + count; ++i) {
    if (i % 4 == 0 || i == first) {
      const auto block = static_cast<uint64_t>(i) / 4;
      words =
          philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0}, key);
    }
    out[(i - first) * step] = words[static_cast<size_t>(i % 4)] < drop_below ? T{0} : scale;
  }
}

template <class T>
Tensor dropout_mask(const Tensor& like, double p, std::array<uint32_t, 2> key) {
  Tensor mask = Tensor::empty(like.shape(), like.dtype(), like.layout());
  T* out = mask.data<T>();
  const auto drop_below = static_cast<uint64_t>(std::llround(p * 0x1p32));
  const T scale = p < 1.0 ? static_cast<T>(1.0 / (1.0 - p)) : T{0};
  if (like.layout() == Layout::Nchw) {
    parallel_for(like.numel(), kGrain, [&](int64_t begin, int64_t end) {
      draw<T>(out + begin, 1, begin, end - begin, key, drop_below, scale);
    });
    return mask;
  }
  if (like.numel() == 0) return mask;
  const int64_t features = like.numel() / like.size(0);
  const int64_t grain = std::max<int64_t>(1, kGrain / features);
  parallel_for(like.size(0), grain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      T* sample = out + n / kLanes * features * kLanes + n % kLanes;
      draw<T>(sample, kLanes, n * features, features, key, drop_below, scale);
    }
  });
  return mask;
}

}  // namespace

Variable dropout(const Variable& x, double p, Rng& rng) {
  ESPALIER_CHECK(
      p >= 0.0 && p <= 1.0, ValueError, "dropout: expects a probability in [0,1], got ", p);
  // Two words whatever the size: a layer's draw doesn't shift those after it.
  const std::array<uint32_t, 2> key = {rng.next_u32(), rng.next_u32()};
  if (p == 0.0) return x;
  const Variable mask = dispatch_floating(x.dtype(), "dropout", [&](auto zero) {
    return Variable(dropout_mask<decltype(zero)>(x.value(), p, key));
  });
  Tensor out = Tensor::empty_like(mask.value());
  dispatch_floating(x.dtype(), "dropout", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(out, x.value(), mask.value(), [](T value, T m) { return value * m; });
  });
  detail::describe_op([&] { return OpAttributes{{"p", p}}; });
  return record("dropout", std::move(out), {x}, [mask = Saved(mask)](const BackwardContext& ctx) {
    return std::vector<Variable>{mul(ctx.grad, mask)};
  });
}

OpInfo dropout_op() {
  // A fresh generator at each call, so that the function is the same one for every difference.
  const auto with = [](double p) {
    return [p](const std::vector<Variable>& in) {
      Rng rng(7, "dropout samples");
      return dropout(in[0], p, rng);
    };
  };
  return {.name = "dropout",
          .rule = OpRule::ZeroToZero,
          .attributes = {"p"},
          .samples = {{"half", {sample_tensor({17, 3, 2}, 1)}, with(0.5), {0}},
                      {"nothing", {sample_tensor({3, 2}, 2)}, with(0.0), {0}},
                      {"all", {sample_tensor({2, 3}, 3)}, with(1.0), {0}},
                      {"no samples", {sample_tensor({0, 3}, 4)}, with(0.3), {0}}}};
}

}  // namespace espalier
