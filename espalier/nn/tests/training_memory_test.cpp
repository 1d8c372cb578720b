// SPDX-License-Identifier: Apache-2.0
// What is foretold of a step's memory against what the pool counts in such steps.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/core/storage.h>
#include <espalier/nn/introspect/training_memory.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/train/adam.h>
#include <espalier/nn/train/sgd.h>

#include "plan_support.h"

namespace espalier::nn {
namespace {

// Kernels of few samples in planes and of many in lanes take other workspaces.
constexpr double kTolerance = 0.1;

struct Case {
  const char* what;
  const char* name;
  ModelOptions options;
  int64_t batch;
  double sparsity = 0.0;
  bool adam = false;
};

class TrainingMemoryOf : public testing::TestWithParam<Case> {};

std::unique_ptr<Optimizer> optimizer_for(Module& model, bool adam) {
  if (adam) return std::make_unique<Adam>(model, AdamOptions{}, 0.0);
  return std::make_unique<Sgd>(model, SgdOptions{.momentum = 0.9}, 0.0);
}

TEST_P(TrainingMemoryOf, IsThatOfTheSteps) {
  const Case& c = GetParam();
  release_pooled_memory();
  const int64_t before = memory_stats().bytes_in_use;
  const auto model = make_model(c.name, c.options);
  if (c.sparsity > 0.0) mask_randomly(*model, c.sparsity);
  const auto optimizer = optimizer_for(*model, c.adam);
  const data::ImageShape& image = c.options.image;
  const bool text = model_input(c.name) == InputKind::Tokens;
  const Shape sample =
      text ? Shape{c.options.context} : Shape{image.channels, image.height, image.width};
  const TrainingMemory told = training_memory(*model, *optimizer, sample, c.batch);

  Variable x = example_input(c.name, c.options, c.batch);
  if (!text) x = Variable(x.value().to(Layout::Nchw16n));
  const Tensor labels = Tensor::zeros({text ? c.batch * c.options.context : c.batch}, DType::I64);
  release_pooled_memory();
  int64_t peak = 0;
  for (int step = 0; step < 3; ++step) {
    optimizer->zero_grad();
    reset_peak_memory();
    Variable logits = (*model)(x);
    if (text) logits = reshape(logits, {labels.size(0), logits.size(2)});
    const Variable loss = cross_entropy(logits, labels);
    loss.backward();
    optimizer->step();
    peak = memory_stats().bytes_peak - before;
  }
  const int64_t pooled = memory_stats().bytes_in_use + memory_stats().bytes_pooled - before;
  const auto near = [](int64_t got, int64_t expected, const char* of) {
    const double ratio = static_cast<double>(got) / static_cast<double>(expected);
    EXPECT_NEAR(ratio, 1.0, kTolerance) << of << ": " << got << " and really " << expected;
  };
  near(told.in_use(), peak, "in use");
  near(told.needed(), pooled, "pooled");
  EXPECT_LT(told.activations, told.step);
}

INSTANTIATE_TEST_SUITE_P(
    Zoo,
    TrainingMemoryOf,
    testing::Values(
        Case{"resnet20", "resnet20", {}, 128},
        Case{"resnet20_sparse", "resnet20", {}, 128, 0.9},
        Case{"resnet20_uneven", "resnet20", {}, 50},
        Case{"vgg16", "vgg16", {.width = 0.5}, 128},
        Case{"vgg16_sparse_adam", "vgg16", {.width = 0.5}, 64, 0.95, true},
        Case{"vgg16_one", "vgg16", {.width = 0.5}, 1},
        Case{"mobilenetv2",
             "mobilenetv2",
             {.image = {3, 64, 64}, .width = 0.5, .stem = Stem::ImageNet},
             32},
        Case{"resnet50",
             "resnet50",
             {.num_classes = 1000, .image = {3, 96, 96}, .width = 0.25, .stem = Stem::ImageNet},
             32},
        Case{"resnet18",
             "resnet18",
             {.image = {3, 64, 64}, .width = 0.5, .stem = Stem::ImageNet},
             64,
             0.9},
        Case{"vit", "vit", {}, 32},
        Case{"gpt", "gpt", {.num_classes = 65, .context = 32}, 16}),
    [](const auto& info) { return std::string(info.param.what); });

TEST(TrainingMemory, TouchesNothing) {
  const auto model = make_model("resnet20", {.width = 0.5});
  const auto state = [&] {
    std::map<std::string, std::vector<double>> out;
    for (const auto& [name, tensor] : model->state_dict()) out[name] = tensor.to_vector<double>();
    return out;
  };
  const auto before = state();
  model->eval();
  const Sgd optimizer(*model, SgdOptions{}, 0.0);
  training_memory(*model, optimizer, {3, 32, 32}, 8);
  EXPECT_EQ(state(), before);
  EXPECT_FALSE(model->training());
  for (const NamedParameter& p : model->named_parameters()) {
    EXPECT_FALSE(p.parameter->value.grad().defined()) << p.name;
  }
  EXPECT_THROW(training_memory(*model, optimizer, {3, 32, 32}, 0), ValueError);
}

TEST(TrainingMemory, CountsALayerWorkedOutByHand) {
  // fc1 (784 x 300) .. fc3: weights and biases in blocks of the pool, momentum as many.
  const ModelOptions options{.image = {1, 28, 28}};
  const auto model = make_model("lenet-300-100", options);
  const Sgd optimizer(*model, SgdOptions{.momentum = 0.9}, 0.0);
  const TrainingMemory told = training_memory(*model, optimizer, {1, 28, 28}, 64);
  int64_t blocks = 0;
  for (const int64_t numel : {784 * 300, 300, 300 * 100, 100, 100 * 10, 10}) {
    blocks += block_bytes(4 * numel);
  }
  EXPECT_EQ(told.parameters, blocks);
  EXPECT_EQ(told.optimizer, blocks);
  // The images, what ReLU leaves of two layers, logits: at least once each.
  EXPECT_GE(told.activations, 64 * 4 * (784 + 300 + 100 + 10));
  // All gradients of parameters are there at the end.
  EXPECT_GE(told.step, 4 * (784 * 300 + 300 * 100));
}

}  // namespace
}  // namespace espalier::nn
