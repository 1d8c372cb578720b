// SPDX-License-Identifier: Apache-2.0
/// Element-wise loops over tensors of any stride and layout: `map_into(out, a, b, f)` sets
/// out = f(a, b) with broadcasting. Used by the op files; not a public interface.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>

#include <espalier/core/parallel.h>
#include <espalier/core/tensor.h>

namespace espalier {

/// Shape and layout of the result of an element-wise op on `a` and `b` (numpy broadcasting). The
/// result is `Nchw16n` when an operand that spans the whole batch is. Throws ShapeError naming
/// `op`.
struct Broadcast {
  Shape shape;
  Layout layout = Layout::Nchw;
};
Broadcast broadcast(const Tensor& a, const Tensor& b, std::string_view op);

namespace detail {

inline constexpr int kMaxOperands = 4;
inline constexpr int64_t kLoopGrain = 16384;

/// Loop over the physical index space of `out`, dimensions merged where all operands allow it.
/// Operand 0 is `out`. Strides in elements; 0 where an operand is broadcast.
struct LoopPlan {
  int rank = 0;
  int operands = 0;
  std::array<int64_t, kMaxRank + 1> sizes{};
  std::array<std::array<int64_t, kMaxRank + 1>, kMaxOperands> strides{};
};

/// Inputs must have been passed through `operand_for`.
LoopPlan make_plan(const Tensor& out, std::initializer_list<const Tensor*> inputs);
/// `input` in a form that loops over `out`: converted to `Nchw16n` when `out` is and `input` spans
/// its batch, to plain when `out` is plain. Throws ShapeError when it does not broadcast to `out`.
Tensor operand_for(const Tensor& out, const Tensor& input);
/// Calls body(offsets, rows, inner) for pieces of the space: `rows` runs of `inner` elements, of
/// which the first begins at element `offsets[k]` of operand k; from run to run it advances by
/// `row_stride(plan, k)`.
void run_plan(const LoopPlan& plan,
              FunctionRef<void(const std::array<int64_t, kMaxOperands>&, int64_t, int64_t)> body);
inline int64_t row_stride(const LoopPlan& plan, size_t operand) {
  return plan.rank < 2 ? 0 : plan.strides[operand][static_cast<size_t>(plan.rank - 2)];
}

/// Calls run(row, n) for all rows. Runs of sixteen are told so as a constant: they are the lanes
/// where another operand has none, and too short for a loop that has to find out.
template <class Run>
void for_rows(int64_t rows, int64_t n, Run run) {
  if (n == kLanes) {
    for (int64_t r = 0; r < rows; ++r) run(r, std::integral_constant<int64_t, kLanes>());
  } else {
    for (int64_t r = 0; r < rows; ++r) run(r, n);
  }
}

/// Elements that are brought together where an operand's neighbours are not, so that one loop over
/// neighbours serves all strides.
inline constexpr int64_t kGather = 256;

/// `count` elements, `stride` apart, as neighbours: where they lie if they are, else in `buffer`.
/// A constant (stride 0) stays in the buffer: `kept` tells that it is there.
template <class T>
const T* neighbours(const T* from, int64_t stride, int64_t count, T* buffer, bool& kept) {
  if (stride == 1) return from;
  if (stride != 0) {
    for (int64_t i = 0; i < count; ++i) buffer[i] = from[i * stride];
  } else if (!kept) {
    std::fill_n(buffer, count, *from);
  }
  kept = true;
  return buffer;
}

}  // namespace detail

/// out = f(a), element by element. Element types are To and Ta.
template <class To, class Ta, class F>
void map_into(Tensor& out, const Tensor& a, F f) {
  const Tensor in = detail::operand_for(out, a);
  const detail::LoopPlan plan = detail::make_plan(out, {&in});
  To* po = out.data<To>();
  const Ta* pa = in.data<Ta>();
  const int64_t so = plan.strides[0][static_cast<size_t>(plan.rank - 1)];
  const int64_t sa = plan.strides[1][static_cast<size_t>(plan.rank - 1)];
  const int64_t ro = detail::row_stride(plan, 0);
  const int64_t ra = detail::row_stride(plan, 1);
  detail::run_plan(plan, [&](const auto& offset, int64_t rows, int64_t length) {
    detail::for_rows(rows, length, [&](int64_t row, auto n) {
      To* o = po + offset[0] + row * ro;
      const Ta* x = pa + offset[1] + row * ra;
      if (so == 1 && sa == 1) {
        for (int64_t i = 0; i < n; ++i) o[i] = f(x[i]);
      } else {
        for (int64_t i = 0; i < n; ++i) o[i * so] = f(x[i * sa]);
      }
    });
  });
  zero_padding_lanes(out);
}

/// out = f(a, b), element by element, with broadcasting to the shape of `out`.
template <class To, class Ta, class Tb, class F>
void map_into(Tensor& out, const Tensor& a, const Tensor& b, F f) {
  const Tensor in_a = detail::operand_for(out, a);
  const Tensor in_b = detail::operand_for(out, b);
  const detail::LoopPlan plan = detail::make_plan(out, {&in_a, &in_b});
  To* po = out.data<To>();
  const Ta* pa = in_a.data<Ta>();
  const Tb* pb = in_b.data<Tb>();
  const auto last = static_cast<size_t>(plan.rank - 1);
  const int64_t so = plan.strides[0][last];
  const int64_t sa = plan.strides[1][last];
  const int64_t sb = plan.strides[2][last];
  const int64_t ro = detail::row_stride(plan, 0);
  const int64_t ra = detail::row_stride(plan, 1);
  const int64_t rb = detail::row_stride(plan, 2);
  detail::run_plan(plan, [&](const auto& offset, int64_t rows, int64_t length) {
    detail::for_rows(rows, length, [&](int64_t row, auto n) {
      To* o = po + offset[0] + row * ro;
      const Ta* x = pa + offset[1] + row * ra;
      const Tb* y = pb + offset[2] + row * rb;
      if (so == 1 && sa == 1 && sb == 1) {
        for (int64_t i = 0; i < n; ++i) o[i] = f(x[i], y[i]);
      } else if (so == 1 && sa == 1 && sb == 0) {
        const Tb constant = *y;
        for (int64_t i = 0; i < n; ++i) o[i] = f(x[i], constant);
      } else if (so == 1 && sa == 0 && sb == 1) {
        const Ta constant = *x;
        for (int64_t i = 0; i < n; ++i) o[i] = f(constant, y[i]);
      } else {
        for (int64_t i = 0; i < n; ++i) o[i * so] = f(x[i * sa], y[i * sb]);
      }
    });
  });
  zero_padding_lanes(out);
}

/// out = f(a, b, c), element by element, with broadcasting to the shape of `out`.
template <class To, class Ta, class Tb, class Tc, class F>
void map_into(Tensor& out, const Tensor& a, const Tensor& b, const Tensor& c, F f) {
  const Tensor in_a = detail::operand_for(out, a);
  const Tensor in_b = detail::operand_for(out, b);
  const Tensor in_c = detail::operand_for(out, c);
  const detail::LoopPlan plan = detail::make_plan(out, {&in_a, &in_b, &in_c});
  To* po = out.data<To>();
  const Ta* pa = in_a.data<Ta>();
  const Tb* pb = in_b.data<Tb>();
  const Tc* pc = in_c.data<Tc>();
  const auto last = static_cast<size_t>(plan.rank - 1);
  const int64_t so = plan.strides[0][last];
  const int64_t sa = plan.strides[1][last];
  const int64_t sb = plan.strides[2][last];
  const int64_t sc = plan.strides[3][last];
  const int64_t ro = detail::row_stride(plan, 0);
  const int64_t ra = detail::row_stride(plan, 1);
  const int64_t rb = detail::row_stride(plan, 2);
  const int64_t rc = detail::row_stride(plan, 3);
  detail::run_plan(plan, [&](const auto& offset, int64_t rows, int64_t n) {
    for (int64_t row = 0; row < rows; ++row) {
      To* o = po + offset[0] + row * ro;
      const Ta* x = pa + offset[1] + row * ra;
      const Tb* y = pb + offset[2] + row * rb;
      const Tc* z = pc + offset[3] + row * rc;
      if (so == 1) {
        Ta xs[detail::kGather];
        Tb ys[detail::kGather];
        Tc zs[detail::kGather];
        bool kept_x = false, kept_y = false, kept_z = false;
        const bool whole = sa == 1 && sb == 1 && sc == 1;
        for (int64_t at = 0; at < n; at += whole ? n : detail::kGather) {
          const int64_t count = whole ? n : std::min(n - at, detail::kGather);
          const Ta* u = detail::neighbours(x + at * sa, sa, count, xs, kept_x);
          const Tb* v = detail::neighbours(y + at * sb, sb, count, ys, kept_y);
          const Tc* w = detail::neighbours(z + at * sc, sc, count, zs, kept_z);
          for (int64_t i = 0; i < count; ++i) o[at + i] = f(u[i], v[i], w[i]);
        }
      } else {
        for (int64_t i = 0; i < n; ++i) o[i * so] = f(x[i * sa], y[i * sb], z[i * sc]);
      }
    }
  });
  zero_padding_lanes(out);
}

}  // namespace espalier
