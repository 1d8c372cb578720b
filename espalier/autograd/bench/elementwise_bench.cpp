// SPDX-License-Identifier: Apache-2.0
// Element-wise ops and softmax on four million float32 numbers, forward and the backward of their
// sum (whose gradient repeats one number). `bench/elementwise.py` measures PyTorch on the same.
#include <benchmark/benchmark.h>

#include <espalier/autograd/ops.h>
#include <espalier/core/random.h>

namespace espalier {
namespace {

using Op = Variable (*)(const Variable&);

Variable input(bool requires_grad) {
  Tensor x = Tensor::empty({4096, 1024});
  Rng rng(1, "bench");
  fill_uniform_(x, rng, -4.0, 4.0);
  return Variable(std::move(x), requires_grad);
}

void forward(benchmark::State& state, Op op) {
  const Variable x = input(false);
  for (auto _ : state) benchmark::DoNotOptimize(op(x).value().raw());
}

/// Forward and backward of the sum.
void both(benchmark::State& state, Op op) {
  Variable x = input(true);
  for (auto _ : state) {
    x.zero_grad();
    sum(op(x)).backward();
    benchmark::DoNotOptimize(x.grad().value().raw());
  }
}

/// On numbers above 0.
Variable log_of_square(const Variable& x) {
  return log(x * x);
}

const struct {
  const char* name;
  Op op;
} kOps[] = {{"relu", [](const Variable& x) { return relu(x); }},
            {"clamp", [](const Variable& x) { return clamp(x, 0.0, 6.0); }},
            {"leaky_relu", [](const Variable& x) { return leaky_relu(x, 0.1); }},
            {"exp", [](const Variable& x) { return exp(x); }},
            {"log_of_square", log_of_square},
            {"sigmoid", [](const Variable& x) { return sigmoid(x); }},
            {"tanh", [](const Variable& x) { return tanh(x); }},
            {"gelu", [](const Variable& x) { return gelu(x); }},
            {"gelu_tanh", [](const Variable& x) { return gelu_tanh(x); }},
            {"silu", [](const Variable& x) { return silu(x); }},
            {"softplus", [](const Variable& x) { return softplus(x); }},
            {"softmax", [](const Variable& x) { return softmax(x, 1); }},
            {"log_softmax", [](const Variable& x) { return log_softmax(x, 1); }}};

[[maybe_unused]] const bool kRegistered = [] {
  for (const auto& [name, op] : kOps) {
    for (const bool backward : {false, true}) {
      const std::string full = std::string(name) + (backward ? "/sum_backward" : "/forward");
      benchmark::RegisterBenchmark(full.c_str(), backward ? both : forward, op)
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime()
          ->MeasureProcessCPUTime();
    }
  }
  return true;
}();

}  // namespace
}  // namespace espalier
