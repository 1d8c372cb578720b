// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/timing/step_bench.h>

#include <algorithm>
#include <chrono>

#include <espalier/autograd/ops.h>
#include <espalier/core/kernels/conv2d_micro.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/trace.h>

namespace espalier::experiments {
namespace {

using Clock = std::chrono::steady_clock;

template <class Work>
double seconds_of(Work work) {
  const Clock::time_point start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Small, so that a network on random labels stays finite over thousands of steps.
constexpr nn::SgdOptions kSgd = {.lr = 1e-3, .momentum = 0.9};
constexpr double kWeightDecay = 5e-4;
// Multiply-adds of a thread between two looks at the clock: about 10 ms.
constexpr int64_t kPeakIterations = 1 << 20;

}  // namespace

StepBench::StepBench(Network network, int64_t batch) : network_(std::move(network)) {
  ESPALIER_CHECK(nn::model_input(network_.name) == nn::InputKind::Images,
                 ValueError,
                 "bench: ",
                 network_.name,
                 " is not fed images");
  const Shape image = network_.image();
  Tensor plain = Tensor::empty({batch, image[0], image[1], image[2]});
  Rng rng(1, "bench");
  fill_normal_(plain, rng, 0.0, 1.0);
  images_ = plain.to(Layout::Nchw16n);
  labels_ = Tensor::empty({batch}, DType::I64);
  for (int64_t i = 0; i < batch; ++i) {
    labels_.data<int64_t>()[i] = i % network_.options.num_classes;
  }
  optimizer_ = std::make_unique<nn::Sgd>(*network_.module, kSgd, kWeightDecay);
  const std::vector<nn::LayerCall> calls = nn::trace_layers(*network_.module, Variable(images_));
  int64_t first = 0;
  for (const nn::LayerCall& call : calls) {
    infer_macs_ += call.macs;
    if (first == 0) first = call.macs;
  }
  train_macs_ = 3 * infer_macs_ - first;
}

double StepBench::train_step() {
  return seconds_of([&] {
    network_.module->train();
    optimizer_->zero_grad();
    const Variable loss = cross_entropy((*network_.module)(Variable(images_)), labels_);
    loss.backward();
    optimizer_->step();
  });
}

double StepBench::infer() {
  const nn::EvalScope eval(*network_.module);
  return seconds_of([&] {
    const NoGrad no_grad;
    (*network_.module)(Variable(images_));
  });
}

double RoundTimes::median() const {
  std::vector<double> sorted = seconds;
  std::ranges::sort(sorted);
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : 0.5 * (sorted[middle - 1] + sorted[middle]);
}

double RoundTimes::spread() const {
  const auto [low, high] = std::ranges::minmax_element(seconds);
  return (*high - *low) / median();
}

std::vector<RoundTimes> time_in_turns(const std::vector<std::function<double()>>& sides,
                                      int64_t rounds,
                                      double round_seconds) {
  std::vector<int64_t> calls;
  for (const auto& side : sides) {
    side();
    calls.push_back(std::max<int64_t>(1, static_cast<int64_t>(round_seconds / side())));
  }
  std::vector<RoundTimes> out(sides.size());
  for (int64_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < sides.size(); ++i) {
      double sum = 0.0;
      for (int64_t call = 0; call < calls[i]; ++call) sum += sides[i]();
      out[i].seconds.push_back(sum / static_cast<double>(calls[i]));
    }
  }
  return out;
}

double measure_peak() {
  const int64_t threads = num_threads();
  double best = 0.0;
  for (int round = 0; round < 5; ++round) {
    double operations = 0.0;
    const double seconds = seconds_of([&] {
      operations = parallel_sum(threads, 1, [](int64_t begin, int64_t end) {
        return static_cast<double>(end - begin) * detail::fma_peak_loop(kPeakIterations);
      });
    });
    best = std::max(best, operations / seconds);
  }
  return best;
}

}  // namespace espalier::experiments
