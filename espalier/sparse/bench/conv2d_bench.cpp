// SPDX-License-Identifier: Apache-2.0
// Sparse against direct dense convolution at one shape and density: `speedup` is dense time /
// sparse time of processor time, `share` counts multiply-adds with kept weights only, of one core's
// peak.
#include <benchmark/benchmark.h>

#include <ctime>

#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/random.h>
#include <espalier/sparse/kernels/conv2d.h>

namespace espalier {
namespace {

double seconds_of_processor() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

double peak() {
  static const double value = [] {
    double best = 0.0;
    for (int round = 0; round < 5; ++round) {
      const double start = seconds_of_processor();
      const double done = detail::fma_peak_loop(1 << 22);
      best = std::max(best, done / (seconds_of_processor() - start));
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

// Exactly 2 of every 4 neighbouring input channels, of each output channel by itself or of
// `channels` together.
Tensor two_of_four(const Shape& shape, int64_t channels) {
  Tensor mask = Tensor::zeros(shape, DType::U8);
  const auto chance = random_plain(shape, 5).to_vector<float>();
  const int64_t area = shape[2] * shape[3];
  for (int64_t k = 0; k < shape[0]; ++k) {
    for (int64_t i = 0; i < shape[1] * area; ++i) {
      const int64_t cell = i / area / 4;
      const auto at = [&](int64_t j) {
        const int64_t flat = (k / channels * channels * shape[1] + cell * 4 + j) * area + i % area;
        return chance[static_cast<size_t>(flat)];
      };
      int64_t larger = 0;
      for (int64_t j = 0; j < 4; ++j) larger += at(j) > at(i / area % 4);
      mask.data<uint8_t>()[k * shape[1] * area + i] = larger < 2;
    }
  }
  return mask;
}

// Arguments: batch, channels (in and out), plane, kept weights in percent. `channels`: output
// channels that share what is kept.
struct Problem {
  Conv2dShape shape;
  Tensor x, w, dy, y, dx, dw, kept_dw;
  std::unique_ptr<sparse::Support> support;
  explicit Problem(const benchmark::State& state, int64_t channels = 1) {
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
    Tensor mask = Tensor::zeros(w.shape(), DType::U8);
    const auto chance = random_plain(w.shape(), 4).to_vector<float>();
    const int64_t filter = c * 9;
    for (int64_t i = 0; i < mask.numel(); ++i) {
      const int64_t decides = i / filter / channels * channels * filter + i % filter;
      mask.data<uint8_t>()[i] =
          chance[static_cast<size_t>(decides)] * 100.0f < static_cast<float>(state.range(3));
    }
    keep(mask);
    set_conv2d_algorithm(Conv2dAlgorithm::Direct);
  }
  void keep(const Tensor& mask) {
    support = std::make_unique<sparse::Support>(mask);
    kept_dw = Tensor::empty({support->nnz()});
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
  for (int round = 0; round < 3; ++round) {
    const double start = seconds_of_processor();
    dense();
    dense_seconds = std::min(dense_seconds, seconds_of_processor() - start);
  }
  double sparse_seconds = 1e30;
  for (auto _ : state) {
    const double start = seconds_of_processor();
    sparse();
    sparse_seconds = std::min(sparse_seconds, seconds_of_processor() - start);
  }
  const double flop =
      2.0 * directions * static_cast<double>(p.support->nnz() * p.shape.n * p.shape.p * p.shape.q);
  state.counters["speedup"] = dense_seconds / sparse_seconds;
  state.counters["share"] = flop / sparse_seconds / peak();
}

void BM_SparseForward(benchmark::State& state) {
  Problem p(state);
  compare(
      state,
      p,
      [&] { sparse::conv2d_forward(p.shape, p.x, p.w, *p.support, {}, p.y); },
      [&] { conv2d_forward(p.shape, p.x, p.w, {}, p.y); });
}
void BM_SparseBackwardData(benchmark::State& state) {
  Problem p(state);
  compare(
      state,
      p,
      [&] { sparse::conv2d_backward_data(p.shape, p.dy, p.w, *p.support, p.dx); },
      [&] { conv2d_backward_data(p.shape, p.dy, p.w, p.dx); });
}
// Both gradients, fused against the two dense kernels one after the other.
void BM_SparseBackward(benchmark::State& state) {
  Problem p(state);
  compare(
      state,
      p,
      [&] { sparse::conv2d_backward(p.shape, p.x, p.dy, p.w, *p.support, p.dx, p.kept_dw); },
      [&] {
        conv2d_backward_data(p.shape, p.dy, p.w, p.dx);
        conv2d_backward_weight(p.shape, p.x, p.dy, p.dw);
      },
      2.0);
}
void BM_BlockForward(benchmark::State& state) {
  Problem p(state, 4);
  compare(
      state,
      p,
      [&] { sparse::conv2d_forward(p.shape, p.x, p.w, *p.support, {}, p.y); },
      [&] { conv2d_forward(p.shape, p.x, p.w, {}, p.y); });
}
void BM_BlockBackward(benchmark::State& state) {
  Problem p(state, 4);
  compare(
      state,
      p,
      [&] { sparse::conv2d_backward(p.shape, p.x, p.dy, p.w, *p.support, p.dx, p.kept_dw); },
      [&] {
        conv2d_backward_data(p.shape, p.dy, p.w, p.dx);
        conv2d_backward_weight(p.shape, p.x, p.dy, p.dw);
      },
      2.0);
}
// Half of the output channels in blocks of four, half weight by weight.
void BM_MixedForward(benchmark::State& state) {
  Problem p(state);
  Tensor mask = p.support->mask().clone();
  const int64_t half = mask.size(0) / 8 * 4;
  mask.slice(0, 0, half).copy_(Problem(state, 4).support->mask().slice(0, 0, half));
  p.keep(mask);
  compare(
      state,
      p,
      [&] { sparse::conv2d_forward(p.shape, p.x, p.w, *p.support, {}, p.y); },
      [&] { conv2d_forward(p.shape, p.x, p.w, {}, p.y); });
}
// 2:4, by output channel or by four of them.
void BM_TwoOfFourForward(benchmark::State& state) {
  Problem p(state);
  p.keep(two_of_four(p.w.shape(), state.range(3)));
  compare(
      state,
      p,
      [&] { sparse::conv2d_forward(p.shape, p.x, p.w, *p.support, {}, p.y); },
      [&] { conv2d_forward(p.shape, p.x, p.w, {}, p.y); });
}
void BM_TwoOfFourBackward(benchmark::State& state) {
  Problem p(state);
  p.keep(two_of_four(p.w.shape(), state.range(3)));
  compare(
      state,
      p,
      [&] { sparse::conv2d_backward(p.shape, p.x, p.dy, p.w, *p.support, p.dx, p.kept_dw); },
      [&] {
        conv2d_backward_data(p.shape, p.dy, p.w, p.dx);
        conv2d_backward_weight(p.shape, p.x, p.dy, p.dw);
      },
      2.0);
}
void BM_SparseBackwardWeight(benchmark::State& state) {
  Problem p(state);
  compare(
      state,
      p,
      [&] { sparse::conv2d_backward_weight(p.shape, p.x, p.dy, *p.support, p.kept_dw); },
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
void layers_of_groups(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "c", "plane", "g"})->Unit(benchmark::kMillisecond);
  b->MinTime(0.05)->MeasureProcessCPUTime();
  for (const auto& s : kShapes) {
    for (const int64_t channels : {1, 4}) b->Args({s[0], s[1], s[2], channels});
  }
}
BENCHMARK(BM_SparseForward)->Apply(layers);
BENCHMARK(BM_SparseBackwardData)->Apply(layers);
BENCHMARK(BM_SparseBackwardWeight)->Apply(layers);
BENCHMARK(BM_SparseBackward)->Apply(layers);
BENCHMARK(BM_BlockForward)->Apply(layers);
BENCHMARK(BM_MixedForward)->Apply(layers);
BENCHMARK(BM_BlockBackward)->Apply(layers);
BENCHMARK(BM_TwoOfFourForward)->Apply(layers_of_groups);
BENCHMARK(BM_TwoOfFourBackward)->Apply(layers_of_groups);

}  // namespace
}  // namespace espalier
