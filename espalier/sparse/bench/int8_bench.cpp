// SPDX-License-Identifier: Apache-2.0
// The int8 convolution against the float32 ones at one shape and density, in turns: `vs_sparse` and
// `vs_dense` are their processor times over ours.
#include <benchmark/benchmark.h>

#include <espalier/core/random.h>
#include <espalier/sparse/forms/conv2d.h>
#include <espalier/sparse/kernels/int8_conv2d.h>

#include "seconds.h"

namespace espalier {
namespace {

// Arguments: batch, channels (in and out), plane, kept weights in percent.
void BM_Int8Forward(benchmark::State& state) {
  const int64_t c = state.range(1);
  const Shape x_shape = {state.range(0), c, state.range(2), state.range(2)};
  const Conv2dShape shape = conv2d_shape(x_shape, {c, c, 3, 3}, {.padding = 1}, "bench");
  Rng rng(1, "bench");
  Tensor plain = Tensor::empty(x_shape);
  fill_uniform_(plain, rng, 0.0, 1.0);
  const Tensor x = plain.to(Layout::Nchw16n);
  Tensor w = Tensor::empty({c, c, 3, 3});
  fill_uniform_(w, rng, -1.0, 1.0);
  Tensor mask = Tensor::zeros(w.shape(), DType::U8);
  for (int64_t i = 0; i < mask.numel(); ++i) {
    const bool keep = rng.uniform() * 100.0 < static_cast<double>(state.range(3));
    mask.data<uint8_t>()[i] = keep ? 1 : 0;
    if (!keep) w.data<float>()[i] = 0.0F;
  }
  const sparse::Support support(mask);
  const sparse::Int8Weight q = sparse::quantize_weight(w);
  const sparse::Int8Blocks blocks = sparse::int8_blocks(q, 1);
  const sparse::AffineGrid grid = sparse::affine_grid(0.0, 1.0);
  Tensor y = Tensor::empty_like(x);
  double ours = 1e30;
  double float_sparse = 1e30;
  double float_dense = 1e30;
  for (auto _ : state) {
    ours =
        std::min(ours, seconds_of([&] { sparse::int8_conv2d(shape, x, grid, q, blocks, {}, y); }));
    state.PauseTiming();
    float_sparse = std::min(
        float_sparse, seconds_of([&] { sparse::conv2d_forward(shape, x, w, support, {}, y); }));
    float_dense = std::min(float_dense, seconds_of([&] { conv2d_forward(shape, x, w, {}, y); }));
    state.ResumeTiming();
  }
  state.SetLabel(sparse::int8_kernel());
  state.counters["blocks"] =
      static_cast<double>(blocks.size()) / static_cast<double>(w.numel() / 4);
  state.counters["vs_sparse"] = float_sparse / ours;
  state.counters["vs_dense"] = float_dense / ours;
}

void layers(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "c", "plane", "kept%"})->Unit(benchmark::kMillisecond);
  b->MinTime(0.05)->MeasureProcessCPUTime();
  for (const auto& [c, plane] :
       {std::pair<int64_t, int64_t>{16, 32}, {64, 32}, {64, 8}, {512, 4}}) {
    for (const int64_t kept : {100, 50, 10, 5}) b->Args({64, c, plane, kept});
  }
}
BENCHMARK(BM_Int8Forward)->Apply(layers);

}  // namespace
}  // namespace espalier
