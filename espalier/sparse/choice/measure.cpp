// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/choice/measure.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include <espalier/core/random.h>
#include <espalier/sparse/forms/conv2d.h>

namespace espalier::sparse {
namespace {

constexpr size_t kTurns = 5;

/// Random operands of a convolution; y stands for dy as well.
struct Operands {
  Tensor x, w, y, dx, dw;
  explicit Operands(const Conv2dShape& s)
      : x(random({s.n, s.c, s.h, s.w}, Layout::Nchw16n, 1)),
        w(random({s.k, s.c / s.options.groups, s.r, s.s}, Layout::Nchw, 2)),
        y(random({s.n, s.k, s.p, s.q}, Layout::Nchw16n, 3)),
        dx(Tensor::empty_like(x)),
        dw(Tensor::empty_like(w)) {}

  /// A few numbers again and again: to draw all of them would take longer than the kernels.
  static Tensor random(const Shape& shape, Layout layout, uint64_t seed) {
    Tensor drawn = Tensor::empty({1009});
    Rng rng(seed, "kernel measurement");
    fill_uniform_(drawn, rng, -1.0, 1.0);
    Tensor t = Tensor::empty(shape, DType::F32, layout);
    float* data = t.data<float>();
    const std::vector<float> values = drawn.to_vector<float>();
    const auto count = static_cast<size_t>(t.physical_numel());
    for (size_t i = 0; i < count; i += values.size()) {
      std::copy_n(values.begin(), std::min(values.size(), count - i), data + i);
    }
    return t;
  }
};

template <class Work>
double milliseconds(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  return took.count();
}

double median(std::array<double, kTurns> times) {
  std::ranges::nth_element(times, times.begin() + kTurns / 2);
  return times[kTurns / 2];
}

}  // namespace

bool has_sparse_conv2d(const Conv2dShape& shape) {
  return detail::missing_conv2d(shape, DType::F32, Layout::Nchw16n).empty();
}

KernelTimes measure_conv2d(const Conv2dShape& shape, const Support* support, Pass pass) {
  Operands o(shape);
  const bool sparse = support != nullptr && has_sparse_conv2d(shape);
  Tensor dw = Tensor::empty({sparse ? support->nnz() : 0});
  const auto run_sparse = [&] {
    if (pass == Pass::Forward) {
      conv2d_forward(shape, o.x, o.w, *support, {}, o.y);
    } else {
      conv2d_backward(shape, o.x, o.y, o.w, *support, o.dx, dw);
    }
  };
  const auto run_dense = [&] {
    if (pass == Pass::Forward) {
      espalier::conv2d_forward(shape, o.x, o.w, {}, o.y);
    } else {
      espalier::conv2d_backward_data(shape, o.y, o.w, o.dx);
      espalier::conv2d_backward_weight(shape, o.x, o.y, o.dw);
    }
  };
  std::array<double, kTurns> sparse_times{}, dense_times{};
  if (sparse) run_sparse();  // the first of each warms up
  run_dense();
  for (size_t turn = 0; turn < kTurns; ++turn) {
    if (sparse) sparse_times[turn] = milliseconds(run_sparse);
    dense_times[turn] = milliseconds(run_dense);
  }
  return {sparse ? median(sparse_times) : 0.0, median(dense_times)};
}

}  // namespace espalier::sparse
