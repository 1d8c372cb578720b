// SPDX-License-Identifier: Apache-2.0
// Steps in which normalization is part of the kernels around it are those in which each op runs by
// itself, and have the same bits on any number of threads.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/train/sgd.h>

#include "plan_support.h"

namespace espalier::nn {
namespace {

// Fused ops run one by one while somebody listens.
struct Listener : OpObserver {
  void op(const ObservedOp&) override {}
};

using State = std::map<std::string, std::vector<double>>;

State after_five_steps(const std::string& name, double sparsity, bool fused) {
  const auto model = make_model(name, {.width = 0.25});
  if (sparsity > 0.0) mask_randomly(*model, sparsity);
  Sgd optimizer(*model, SgdOptions{.momentum = 0.9}, 0.0);
  Variable x = example_input(name, {.width = 0.25}, 33);
  x = Variable(x.value().to(Layout::Nchw16n));
  Tensor labels = Tensor::zeros({33}, DType::I64);
  for (int64_t i = 0; i < 33; ++i) labels.data<int64_t>()[i] = i % 10;
  model->train();
  Listener listener;
  for (int step = 0; step < 5; ++step) {
    optimizer.set_lr(0.01);
    optimizer.zero_grad();
    const OpObserverScope scope(fused ? nullptr : &listener);
    cross_entropy((*model)(x), labels).backward();
    optimizer.step();
  }
  State out;
  for (const auto& [key, tensor] : model->state_dict()) out[key] = tensor.to_vector<double>();
  return out;
}

TEST(FusedStep, IsTheUnfusedOne) {
  for (const char* name : {"vgg11", "resnet20"}) {
    for (const double sparsity : {0.0, 0.9}) {
      const State fused = after_five_steps(name, sparsity, true);
      const State one_by_one = after_five_steps(name, sparsity, false);
      for (const auto& [key, values] : one_by_one) {
        double largest = 1e-3;
        for (const double v : values) largest = std::max(largest, std::fabs(v));
        const std::vector<double>& others = fused.at(key);
        for (size_t i = 0; i < values.size(); ++i) {
          ASSERT_NEAR(others[i], values[i], 1e-5 * largest)
              << name << ", " << sparsity << ", " << key;
        }
      }
    }
  }
}

TEST(FusedStep, HasTheSameBitsOnAnyNumberOfThreads) {
  const int before = num_threads();
  set_num_threads(1);
  const State one = after_five_steps("vgg11", 0.9, true);
  for (const int threads : {2, 7}) {
    set_num_threads(threads);
    EXPECT_EQ(after_five_steps("vgg11", 0.9, true), one) << threads;
  }
  set_num_threads(before);
}

}  // namespace
}  // namespace espalier::nn
