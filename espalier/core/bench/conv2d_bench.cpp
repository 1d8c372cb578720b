// SPDX-License-Identifier: Apache-2.0
// Convolution and batch norm in `Nchw16n`: GFLOP/s of the three directions and share of the
// multiply-add peak of a core, which is measured in the same process. Rates are per second of
// processor time of all threads, so that other programs on the machine disturb them little.
#include <benchmark/benchmark.h>

#include <ctime>

#include <espalier/core/kernels/batch_norm.h>
#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>

namespace espalier {
namespace {

Tensor random_lanes(const Shape& shape) {
  Tensor plain = Tensor::empty(shape);
  Rng rng(1, "bench");
  fill_uniform_(plain, rng, -1.0, 1.0);
  return plain.to(Layout::Nchw16n);
}

/// Floating-point operations of one core in a second of its time, in registers only.
double peak() {
  static const double value = [] {
    double best = 0.0;
    for (int round = 0; round < 5; ++round) {
      const std::clock_t start = std::clock();
      const double done = detail::fma_peak_loop(1 << 22);
      const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      best = std::max(best, done / seconds);
    }
    return best;
  }();
  return value;
}

void report(benchmark::State& state, double flop) {
  const double rate = flop * static_cast<double>(state.iterations());
  state.counters["GFLOP/s/core"] = benchmark::Counter(rate * 1e-9, benchmark::Counter::kIsRate);
  state.counters["share"] = benchmark::Counter(rate / peak(), benchmark::Counter::kIsRate);
}

// Arguments: batch, in-channels, plane, out-channels, kernel, stride.
struct Problem {
  Conv2dShape shape;
  Tensor x, w, dy;
  explicit Problem(const benchmark::State& state) {
    const int64_t kernel = state.range(4);
    const Shape x_shape = {state.range(0), state.range(1), state.range(2), state.range(2)};
    const Shape w_shape = {state.range(3), state.range(1), kernel, kernel};
    shape =
        conv2d_shape(x_shape, w_shape, {.stride = state.range(5), .padding = kernel / 2}, "bench");
    x = random_lanes(x_shape);
    w = random_lanes(w_shape).to(Layout::Nchw);
    dy = random_lanes({shape.n, shape.k, shape.p, shape.q});
  }
  double flop() const { return 2.0 * static_cast<double>(shape.macs()); }
};

void BM_Forward(benchmark::State& state) {
  const Problem p(state);
  Tensor y = Tensor::empty_like(p.dy);
  for (auto _ : state) conv2d_forward(p.shape, p.x, p.w, {}, y);
  report(state, p.flop());
}
void BM_BackwardData(benchmark::State& state) {
  const Problem p(state);
  Tensor dx = Tensor::empty_like(p.x);
  for (auto _ : state) conv2d_backward_data(p.shape, p.dy, p.w, dx);
  report(state, p.flop());
}
void BM_BackwardWeight(benchmark::State& state) {
  const Problem p(state);
  Tensor dw = Tensor::empty_like(p.w);
  for (auto _ : state) conv2d_backward_weight(p.shape, p.x, p.dy, dw);
  report(state, p.flop());
}

void layers(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "c", "plane", "k", "kernel", "stride"})->Unit(benchmark::kMillisecond);
  b->MinTime(0.2)->MeasureProcessCPUTime();
  b->Args({128, 3, 32, 16, 3, 1});
  b->Args({128, 16, 32, 16, 3, 1});
  b->Args({128, 16, 32, 32, 3, 2});
  b->Args({128, 32, 16, 32, 3, 1});
  b->Args({128, 32, 16, 64, 3, 2});
  b->Args({128, 64, 8, 64, 3, 1});
  b->Args({64, 64, 32, 64, 3, 1});
  b->Args({64, 128, 16, 128, 3, 1});
  b->Args({64, 256, 8, 256, 3, 1});
  b->Args({64, 512, 4, 512, 3, 1});
  b->Args({64, 512, 2, 512, 3, 1});
  b->Args({64, 256, 8, 64, 1, 1});
}
// Widths as shrinking leaves them, each before the next multiple of eight.
void shrunk_layers(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "c", "plane", "k", "kernel", "stride"})->Unit(benchmark::kMillisecond);
  b->MinTime(0.2)->MeasureProcessCPUTime();
  for (const auto& [channels, plane] : {std::pair{37, 16}, {40, 16}, {51, 8}, {56, 8}}) {
    b->Args({128, channels, plane, channels, 3, 1});
  }
}
BENCHMARK(BM_Forward)->Apply(layers)->Apply(shrunk_layers);
BENCHMARK(BM_BackwardData)->Apply(layers)->Apply(shrunk_layers);
BENCHMARK(BM_BackwardWeight)->Apply(layers)->Apply(shrunk_layers);

// Arguments: batch, channels, plane. Bytes: what each pass must read and write.
void BM_BatchNormMoments(benchmark::State& state) {
  const Tensor x = random_lanes({state.range(0), state.range(1), state.range(2), state.range(2)});
  for (auto _ : state) benchmark::DoNotOptimize(channel_moments(x));
  state.SetBytesProcessed(state.iterations() * x.nbytes());
}
void BM_BatchNormApply(benchmark::State& state) {
  const Tensor x = random_lanes({state.range(0), state.range(1), state.range(2), state.range(2)});
  Tensor y = Tensor::empty_like(x);
  const std::vector<double> ones(static_cast<size_t>(x.size(1)), 1.0);
  for (auto _ : state) scale_shift(x, ones, ones, true, y);
  state.SetBytesProcessed(state.iterations() * 2 * x.nbytes());
}
void BM_BatchNormBackward(benchmark::State& state) {
  const Tensor x = random_lanes({state.range(0), state.range(1), state.range(2), state.range(2)});
  Tensor dx = Tensor::empty_like(x);
  const std::vector<double> ones(static_cast<size_t>(x.size(1)), 1.0);
  for (auto _ : state) {
    benchmark::DoNotOptimize(gated_sums(x, x, ones, {ones, ones}));
    gated_combine(x, x, ones, ones, ones, {ones, ones}, dx);
  }
  state.SetBytesProcessed(state.iterations() * 5 * x.nbytes());
}
void planes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "c", "plane"})
      ->Unit(benchmark::kMillisecond)
      ->MinTime(0.1)
      ->MeasureProcessCPUTime();
  b->Args({128, 16, 32})->Args({128, 32, 16})->Args({128, 64, 8});
}
BENCHMARK(BM_BatchNormMoments)->Apply(planes);
BENCHMARK(BM_BatchNormApply)->Apply(planes);
BENCHMARK(BM_BatchNormBackward)->Apply(planes);

}  // namespace
}  // namespace espalier
