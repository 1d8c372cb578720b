// SPDX-License-Identifier: Apache-2.0
/// A training of linear 6>5, ReLU, linear 5>3 next to PyTorch's (oracles/small_training.py).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/calibration.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune::testing {

/// What a script has written.
using Oracle = std::map<std::string, std::vector<double>>;

/// Grows as a script has drawn: `merits STEP NAME`.
class DrawnGrowth : public Growth {
 public:
  DrawnGrowth(const Oracle& oracle, const int64_t& step) : oracle_(oracle), step_(step) {}
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> merits;
    for (const nn::NamedParameter& weight : context.weights) {
      merits.push_back(Tensor::from(weight.parameter->shape(),
                                    oracle_.at(cat("merits ", step_, " ", weight.name))));
    }
    return merits;
  }

 private:
  const Oracle& oracle_;
  const int64_t& step_;
};

/// The network, its data and its optimizer.
class SmallTraining {
 public:
  static constexpr int64_t kSteps = 24;

  explicit SmallTraining(const Oracle& oracle, double decay = 0.01) : oracle_(oracle) {
    net.add(nn::Linear({.in = 6, .out = 5, .bias = false}));
    net.add(nn::ReLU());
    net.add(nn::Linear({.in = 5, .out = 3, .bias = false}));
    net.to(DType::F64);
    for (const nn::NamedParameter& one : net.named_parameters()) {
      const Shape& shape = one.parameter->shape();
      one.parameter->value.value().copy_(Tensor::from(shape, oracle.at(one.name)));
      const auto mask = oracle.find("mask of " + one.name);
      if (mask != oracle.end()) {
        one.parameter->set_mask(Tensor::from(shape, mask->second).to(DType::U8));
      }
    }
    sgd = std::make_unique<nn::Sgd>(net, nn::SgdOptions{.lr = 0.3, .momentum = 0.9}, decay);
  }

  /// Images and labels of one of the three batches.
  data::Batch batch(int64_t index) const {
    const auto part = [&](const char* name, Shape shape) {
      return Tensor::from(shape, oracle_.at(name)).slice(0, index, index + 1).contiguous();
    };
    return {part("images", {3, 4, 6}).reshape({4, 6}),
            part("labels", {3, 4}).reshape({4}).to(DType::I64)};
  }

  /// Trains under the events of a timeline, and compares masks and weights wherever the script
  /// tells them. Returns how many were compared. `watch` is called after every step.
  int run(Timeline timeline,
          const PruneInputs& inputs,
          Sparsity sparsity,
          const std::function<void(Pruner&)>& watch = {},
          const std::string& pattern = "unstructured") {
    Pruner pruner(
        "oracle", std::move(timeline), make_pattern(pattern), {.sparsity = sparsity}, inputs);
    nn::TrainState state{.model = net, .optimizer = *sgd, .total_steps = kSteps};
    int compared = 0;
    pruner.before_training(state);
    for (step = 0; step < kSteps; ++step) {
      state.step = step;
      pruner.before_step(state);
      sgd->zero_grad();
      const data::Batch now = batch(step % 3);
      nn::CrossEntropy by_labels;
      nn::Objective* own = pruner.objective(state);
      Variable loss = (own != nullptr ? own : &by_labels)->loss(net, now).loss;
      const Variable penalty = pruner.penalty(state);
      if (penalty.defined()) loss = loss + penalty;
      loss.backward();
      pruner.after_backward(state);
      compared += compare_masks(step);
      sgd->step();
      state.step = step + 1;
      pruner.after_step(state);
      if (watch) watch(pruner);
      for (const char* name : {"0.weight", "2.weight"}) {
        const auto right = oracle_.find(cat("after ", step, " ", name));
        if (right == oracle_.end()) continue;
        SCOPED_TRACE(right->first);
        expect_near(net.parameter(name).value.value(), right->second, kExact);
        ++compared;
      }
    }
    pruner.end_of_training(state);
    return compared + compare_masks(kSteps);
  }

  nn::Sequential net;
  std::unique_ptr<nn::Sgd> sgd;
  int64_t step = 0;

 private:
  int compare_masks(int64_t at) {
    const auto right = oracle_.find(cat("masks ", at));
    if (right == oracle_.end()) return 0;
    std::vector<int> found = mask_of(net.parameter("0.weight"));
    const std::vector<int> second = mask_of(net.parameter("2.weight"));
    found.insert(found.end(), second.begin(), second.end());
    EXPECT_EQ(found, std::vector<int>(right->second.begin(), right->second.end())) << at;
    return 1;
  }

  const Oracle& oracle_;
};

/// The events of a method from the second on: its first draws a random mask.
inline Timeline after_the_first_mask(const std::string& name, const Options& given) {
  Timeline timeline = choose_method(method(name), parse_settings(method(name), given)).timeline();
  timeline.events.erase(timeline.events.begin());
  return timeline;
}

}  // namespace espalier::prune::testing
