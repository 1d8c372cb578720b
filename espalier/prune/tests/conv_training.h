// SPDX-License-Identifier: Apache-2.0
/// A training of conv 2>4, batch norm, ReLU, conv 4>4, batch norm, ReLU, mean, linear 4>3 next to
/// PyTorch's (oracles/conv_training.py), in float64.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune::testing {

/// The script's numbers.
inline Tensor formula(const Shape& shape, int64_t k, double scale = 1.0, double shift = 0.0) {
  Tensor out = Tensor::empty(shape, DType::F64);
  for (int64_t i = 0; i < out.numel(); ++i) {
    const int64_t number = (7 * i * i + 37 * i + 101 * k) % 61 - 30;
    out.data<double>()[i] = static_cast<double>(number) / 64.0 * scale + shift;
  }
  return out;
}

/// The network, its data and its optimizer.
class ConvTraining {
 public:
  using Written = std::map<std::string, std::vector<double>>;

  explicit ConvTraining(const nn::SgdOptions& options = {.lr = 0.1, .momentum = 0.9},
                        double decay = 0.0) {
    const auto conv = [](int64_t in) {
      return nn::Conv2d(
          {.in_channels = in, .out_channels = 4, .kernel = 3, .padding = 1, .bias = false});
    };
    for (const int64_t in : {2, 4}) {
      net.add(conv(in));
      net.add(nn::BatchNorm2d({.channels = 4}));
      net.add(nn::ReLU());
    }
    net.add(nn::AdaptiveAvgPool2d(1));
    net.add(nn::Flatten());
    net.add(nn::Linear({.in = 4, .out = 3, .bias = false}));
    net.to(DType::F64);
    int64_t k = 0;
    for (const nn::NamedParameter& one : net.named_parameters()) {
      const bool scale = one.name == "1.weight" || one.name == "4.weight";
      one.parameter->value.value().copy_(
          formula(one.parameter->shape(), k++, scale ? 0.5 : 1.0, scale ? 1.0 : 0.0));
    }
    options_ = options;
    decay_ = decay;
  }

  /// Attaches the pruner, which may add parameters, and trains under it. `watch` is called after
  /// every step.
  void run(Pruner& pruner, int64_t steps, const std::function<void(int64_t)>& watch = {}) {
    pruner.attach(net);
    net.to(DType::F64);
    nn::Sgd sgd(net, options_, decay_);
    nn::TrainState state{
        .model = net, .optimizer = sgd, .total_steps = steps, .steps_per_epoch = steps};
    pruner.before_training(state);
    for (int64_t step = 0; step < steps; ++step) {
      state.step = step;
      pruner.before_step(state);
      sgd.zero_grad();
      Tensor labels = Tensor::empty({4}, DType::I64);
      for (int64_t i = 0; i < 4; ++i) labels.data<int64_t>()[i] = (i + step) % 3;
      Variable loss =
          cross_entropy(net(Variable(formula({4, 2, 4, 4}, 20 + step % 3, 4.0))), labels);
      const Variable penalty = pruner.penalty(state);
      if (penalty.defined()) loss = loss + penalty;
      loss.backward();
      pruner.after_backward(state);
      sgd.step();
      state.step = step + 1;
      pruner.after_step(state);
      if (watch) watch(step);
    }
    pruner.end_of_epoch(state);
    pruner.end_of_training(state);
  }

  /// Compares the parameters that the script wrote as `PREFIX NAME`; how many there were.
  int compare(const Written& written, const std::string& prefix) {
    int compared = 0;
    for (const nn::NamedParameter& one : net.named_parameters()) {
      const auto right = written.find(cat(prefix, " ", one.name));
      if (right == written.end()) continue;
      SCOPED_TRACE(right->first);
      expect_near(one.parameter->value.value(), right->second, kExact);
      const auto found = one.parameter->value.value().to_vector<double>();
      for (size_t i = 0; i < found.size(); ++i) {
        largest = std::max(largest, std::abs(found[i] - right->second[i]));
      }
      ++compared;
    }
    return compared;
  }

  nn::Sequential net;
  double largest = 0.0;  ///< difference so far

 private:
  nn::SgdOptions options_;
  double decay_ = 0.0;
};

}  // namespace espalier::prune::testing
