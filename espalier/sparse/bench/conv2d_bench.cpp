// SPDX-License-Identifier: Apache-2.0
// Every form of kept weights against direct dense convolution at one shape and density, in turns:
// `speedup` is dense time / sparse time of processor time, `share` counts multiply-adds with kept
// weights only, of one core's peak.
#include <benchmark/benchmark.h>

#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/random.h>
#include <espalier/sparse/forms/conv2d.h>
#include <espalier/sparse/forms/form.h>

#include "seconds.h"

namespace espalier {
namespace {

using sparse::detail::forward_by;
using sparse::detail::KernelForm;

double peak() {
  static const double value = [] {
    double best = 0.0;
    for (int round = 0; round < 5; ++round) {
      double done = 0.0;
      const double seconds = seconds_of([&] { done = detail::fma_peak_loop(1 << 22); });
      best = std::max(best, done / seconds);
    }
    return best;
  }();
  return value;
}

Tensor random_plain(const Shape& shape, uint64_t seed) {
  Tensor plain = Tensor::empty(shape);
  Rng rng(seed, "bench");
  fill_uniform_(plain, rng, 0.0, 1.0);
  return plain;
}

// Arguments: batch, channels (in and out), plane, kept weights in percent, of the form's own kind.
struct Problem {
  Conv2dShape shape;
  Tensor x, w, dy, y, dx, dw, kept_dw;
  sparse::Support support;
  Problem(const benchmark::State& state, const KernelForm& form)
      : support(form.sample({state.range(1), state.range(1), 3, 3},
                            static_cast<double>(state.range(3)) / 100.0,
                            4)) {
    const int64_t c = state.range(1);
    const int64_t plane = state.range(2);
    const Shape x_shape = {state.range(0), c, plane, plane};
    shape = conv2d_shape(x_shape, {c, c, 3, 3}, {.padding = 1}, "bench");
    x = random_plain(x_shape, 1).to(Layout::Nchw16n);
    w = random_plain({c, c, 3, 3}, 2);
    dy = random_plain(x_shape, 3).to(Layout::Nchw16n);
    y = Tensor::empty_like(x);
    dx = Tensor::empty_like(x);
    dw = Tensor::empty_like(w);
    kept_dw = Tensor::empty({support.nnz()});
    set_conv2d_algorithm(Conv2dAlgorithm::Direct);
  }
};

template <class Sparse, class Dense>
void compare(benchmark::State& state,
             const Problem& p,
             Sparse sparse,
             Dense dense,
             double directions = 1.0) {
  sparse();
  dense();
  double dense_seconds = 1e30;
  double sparse_seconds = 1e30;
  for (auto _ : state) {
    sparse_seconds = std::min(sparse_seconds, seconds_of(sparse));
    state.PauseTiming();
    dense_seconds = std::min(dense_seconds, seconds_of(dense));
    state.ResumeTiming();
  }
  const double flop =
      2.0 * directions * static_cast<double>(p.support.nnz() * p.shape.n * p.shape.p * p.shape.q);
  state.counters["density"] = p.support.density();
  state.counters["speedup"] = dense_seconds / sparse_seconds;
  state.counters["share"] = flop / sparse_seconds / peak();
}

void forward(benchmark::State& state, const KernelForm& form) {
  Problem p(state, form);
  compare(
      state,
      p,
      [&] { forward_by(form, p.shape, p.x, p.w, p.support, {}, p.y); },
      [&] { conv2d_forward(p.shape, p.x, p.w, {}, p.y); });
}
// Both gradients, against the two dense kernels one after the other.
void backward(benchmark::State& state, const KernelForm& form) {
  Problem p(state, form);
  compare(
      state,
      p,
      [&] {
        form.backward(p.shape,
                      p.support,
                      {.x = &p.x, .dy = p.dy, .weight = &p.w, .dx = &p.dx, .dweight = &p.kept_dw});
      },
      [&] {
        conv2d_backward_data(p.shape, p.dy, p.w, p.dx);
        conv2d_backward_weight(p.shape, p.x, p.dy, p.dw);
      },
      2.0);
}
void backward_data(benchmark::State& state, const KernelForm& form) {
  Problem p(state, form);
  compare(
      state,
      p,
      [&] { form.backward(p.shape, p.support, {.dy = p.dy, .weight = &p.w, .dx = &p.dx}); },
      [&] { conv2d_backward_data(p.shape, p.dy, p.w, p.dx); });
}
void backward_weight(benchmark::State& state, const KernelForm& form) {
  Problem p(state, form);
  compare(
      state,
      p,
      [&] { form.backward(p.shape, p.support, {.x = &p.x, .dy = p.dy, .dweight = &p.kept_dw}); },
      [&] { conv2d_backward_weight(p.shape, p.x, p.dy, p.dw); });
}

constexpr int64_t kShapes[][3] = {{16, 16, 32},
                                  {128, 16, 32},
                                  {128, 32, 16},
                                  {128, 64, 8},
                                  {64, 64, 32},
                                  {64, 128, 16},
                                  {64, 256, 8},
                                  {128, 512, 4},
                                  {128, 512, 2}};

void layers(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "c", "plane", "kept%"})->Unit(benchmark::kMillisecond);
  b->MinTime(0.05)->MeasureProcessCPUTime();
  for (const auto& s : kShapes) {
    for (const int64_t kept : {50, 20, 10, 5, 2}) b->Args({s[0], s[1], s[2], kept});
  }
}
// Every form of the list, in each direction that it has kernels for: `blocks/forward/..`.
const int kRegistered = [] {
  for (const KernelForm* form : sparse::detail::kernel_forms()) {
    const auto add = [&](const char* direction, auto run) {
      layers(benchmark::RegisterBenchmark(
          cat(form->name, "/", direction).c_str(),
          [form, run](benchmark::State& state) { run(state, *form); }));
    };
    if (form->has(sparse::Pass::Forward)) add("forward", forward);
    if (!form->has(sparse::Pass::Backward)) continue;
    add("backward", backward);
    add("backward_data", backward_data);
    add("backward_weight", backward_weight);
  }
  return 0;
}();

}  // namespace
}  // namespace espalier
