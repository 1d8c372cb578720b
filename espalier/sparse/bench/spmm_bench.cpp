// SPDX-License-Identifier: Apache-2.0
// Products with CSR, BSR and N:M against the dense matrix product, in turns: `vs_dense` is its
// processor time over ours.
#include <benchmark/benchmark.h>

#include <algorithm>

#include <espalier/core/kernels/gemm.h>
#include <espalier/core/random.h>
#include <espalier/sparse/kernels/sddmm.h>
#include <espalier/sparse/kernels/spmm.h>

#include "seconds.h"

namespace espalier {
namespace {

Tensor random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  Tensor out = Tensor::empty({rows, cols});
  Rng rng(seed, "bench");
  fill_uniform_(out, rng, 0.5, 1.0);
  return out;
}

enum class Kind { Csr, Bsr, NM };

// Kept percent of (size, size); in blocks of 4 x 1, or of each four neighbours.
Tensor sample(int64_t size, int64_t kept, Kind kind) {
  Tensor dense = random_matrix(size, size, 1);
  Rng rng(2, "bench");
  const int64_t of_four = std::max<int64_t>(1, kept * 4 / 100);
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < size; ++j) {
      float& at = dense.data<float>()[i * size + j];
      const bool decided = kind == Kind::Bsr && i % 4 > 0;  // by the first row of the block
      if (decided ? dense.data<float>()[i / 4 * 4 * size + j] == 0.0f
                  : (kind == Kind::NM ? j % 4 >= of_four
                                      : rng.uniform() * 100.0f >= static_cast<float>(kept))) {
        at = 0.0f;
      }
    }
  }
  return dense;
}

template <class Ours, class Dense>
void compare(benchmark::State& state, Ours ours, Dense dense) {
  ours();
  dense();
  double our_seconds = 1e30;
  double dense_seconds = 1e30;
  for (auto _ : state) {
    our_seconds = std::min(our_seconds, seconds_of(ours));
    state.PauseTiming();
    dense_seconds = std::min(dense_seconds, seconds_of(dense));
    state.ResumeTiming();
  }
  state.counters["vs_dense"] = dense_seconds / our_seconds;
}

template <class Format>
void product(benchmark::State& state, const Tensor& dense, const Format& a) {
  const Tensor b = random_matrix(dense.size(1), state.range(1), 3);
  Tensor out = Tensor::empty({dense.size(0), b.size(1)});
  compare(
      state, [&] { benchmark::DoNotOptimize(sparse::spmm(a, b)); }, [&] { gemm(dense, b, out); });
}

void BM_SpmmCsr(benchmark::State& state) {
  const Tensor dense = sample(state.range(0), state.range(2), Kind::Csr);
  product(state, dense, sparse::Csr::from_dense(dense));
}
void BM_SpmmBsr4x1(benchmark::State& state) {
  const Tensor dense = sample(state.range(0), state.range(2), Kind::Bsr);
  product(state, dense, sparse::Bsr::from_dense(dense, {4, 1}));
}
void BM_SpmmNM(benchmark::State& state) {
  const Tensor dense = sample(state.range(0), state.range(2), Kind::NM);
  const int64_t n = std::max<int64_t>(1, state.range(2) * 4 / 100);
  product(state, dense, sparse::NM::from_dense(dense, {n, 4}));
}
// The gradient of a weight (size, size) from n samples.
void BM_SddmmCsr(benchmark::State& state) {
  const sparse::Csr at = sparse::Csr::from_dense(sample(state.range(0), state.range(2), Kind::Csr));
  const Tensor a = random_matrix(state.range(0), state.range(1), 4);
  const Tensor b = random_matrix(state.range(1), state.range(0), 5);
  Tensor out = Tensor::empty({state.range(0), state.range(0)});
  compare(
      state, [&] { benchmark::DoNotOptimize(sparse::sddmm(at, a, b)); }, [&] { gemm(a, b, out); });
}

void matrices(benchmark::internal::Benchmark* b) {
  b->ArgNames({"size", "n", "kept%"})->Unit(benchmark::kMillisecond);
  b->MinTime(0.05)->MeasureProcessCPUTime();
  for (const int64_t size : {256, 1024}) {
    for (const int64_t kept : {50, 20, 10, 5}) b->Args({size, 128, kept});
  }
}
void matrices_of_neighbours(benchmark::internal::Benchmark* b) {
  b->ArgNames({"size", "n", "kept%"})->Unit(benchmark::kMillisecond);
  b->MinTime(0.05)->MeasureProcessCPUTime();
  for (const int64_t size : {256, 1024}) {
    for (const int64_t kept : {50, 25}) b->Args({size, 128, kept});
  }
}
BENCHMARK(BM_SpmmCsr)->Apply(matrices);
BENCHMARK(BM_SpmmBsr4x1)->Apply(matrices);
BENCHMARK(BM_SpmmNM)->Apply(matrices_of_neighbours);
BENCHMARK(BM_SddmmCsr)->Apply(matrices);

}  // namespace
}  // namespace espalier
