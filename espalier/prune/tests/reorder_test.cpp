// SPDX-License-Identifier: Apache-2.0
// Networks with their channels in another order against themselves.
#include <gtest/gtest.h>

#include <algorithm>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/structure/reorder.h>
#include <espalier/prune/tests/zoo.h>

namespace espalier::prune {
namespace {

constexpr double kTolerance = 1e-10;  // of the largest logit, in float64

/// A random order of every group that may have one.
std::vector<std::vector<int32_t>> random_orders(const std::vector<ChannelGroup>& groups) {
  std::vector<std::vector<int32_t>> orders;
  Rng rng(4, "orders");
  for (const ChannelGroup& group : groups) {
    std::vector<int32_t> order;
    if (group.frozen_because.empty()) {
      for (const int64_t c : rng.permutation(group.channels)) {
        order.push_back(static_cast<int32_t>(c));
      }
    }
    orders.push_back(std::move(order));
  }
  return orders;
}

/// Masks that differ from channel to channel.
void mask_some(nn::Module& model) {
  for (const nn::NamedParameter& p : model.named_parameters()) {
    if (p.parameter->shape().rank() < 2) continue;
    Tensor mask = Tensor::empty(p.parameter->shape(), DType::U8);
    for (int64_t i = 0; i < mask.numel(); ++i) mask.data<uint8_t>()[i] = i % 7 % 3 != 0;
    p.parameter->set_mask(mask);
  }
}

class Reorder : public testing::TestWithParam<std::string> {};

TEST_P(Reorder, IsTheSameNetworkAndTrainsTheSame) {
  const nn::ModelOptions options = small_options(GetParam());
  const auto model = nn::make_model(GetParam(), options);
  randomize(*model, 1);
  model->to(DType::F64);
  mask_some(*model);
  const auto other = model->clone();
  const nn::SgdOptions sgd = {.lr = 0.02, .momentum = 0.9};
  nn::Sgd optimizer(*model, sgd, 5e-4);
  nn::Sgd optimizer_of_other(*other, sgd, 5e-4);
  const Variable x = in_float64(random_input(GetParam(), options, 6));
  const Tensor labels = labels_for(x);
  // One step before gives the momentum something to be moved.
  train_step(*model, optimizer, x, labels);
  train_step(*other, optimizer_of_other, x, labels);

  const Variable one = in_float64(random_input(GetParam(), options, 1));
  const auto groups = trace_channels(*other, one).groups(*other);
  reorder_channels(*other, groups, random_orders(groups), &optimizer_of_other);

  const auto expect_same = [&](const char* when) {
    const Tensor y = logits(*model, x);
    const double largest = std::max(1.0, largest_difference(y, Tensor::zeros_like(y)));
    EXPECT_LT(largest_difference(y, logits(*other, x)), kTolerance * largest) << when;
  };
  expect_same("before the next step");
  bool moved = false;
  const auto before = model->named_parameters();
  const auto after = other->named_parameters();
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].parameter->nnz(), before[i].parameter->nnz()) << after[i].name;
    moved = moved || largest_difference(after[i].parameter->value.value(),
                                        before[i].parameter->value.value()) > 0.0;
  }
  EXPECT_TRUE(moved);
  train_step(*model, optimizer, x, labels);
  train_step(*other, optimizer_of_other, x, labels);
  expect_same("after it");
}

std::string name_of(const testing::TestParamInfo<std::string>& info) {
  std::string text = info.param;
  std::ranges::replace(text, '-', '_');
  return text;
}

// One of each way to tie channels together: chains, flattening, residual sums with both shortcuts,
// depthwise convolutions, concatenation, attention.
INSTANTIATE_TEST_SUITE_P(
    Zoo,
    Reorder,
    testing::Values(
        "lenet5", "vgg11", "resnet20", "resnet50", "mobilenetv2", "densenet-bc-22-12", "gpt"),
    name_of);

TEST(ReorderChannels, RefusesWhatIsNoOrder) {
  const auto model = nn::make_model("lenet5", small_options("lenet5"));
  const Variable one = random_input("lenet5", small_options("lenet5"), 1);
  const auto groups = trace_channels(*model, one).groups(*model);
  const Tensor before = model->named_parameters().front().parameter->value.value().clone();
  std::vector<std::vector<int32_t>> orders(groups.size());
  EXPECT_THROW(reorder_channels(*model, groups, {}), ValueError);
  orders[0] = {0, 1};
  EXPECT_THROW(reorder_channels(*model, groups, orders), ValueError);
  orders[0].assign(static_cast<size_t>(groups[0].channels), 0);
  EXPECT_THROW(reorder_channels(*model, groups, orders), ValueError);
  orders = random_orders(groups);
  for (size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].frozen_because.empty()) continue;
    for (int32_t c = 0; c < groups[g].channels; ++c) orders[g].push_back(c);  // of the output
  }
  EXPECT_THROW(reorder_channels(*model, groups, orders), ValueError);
  EXPECT_EQ(largest_difference(model->named_parameters().front().parameter->value.value(), before),
            0.0);
}

TEST(GatherBlocks, FindsBlocksThatLieApart) {
  // Of 16 channels those with the same remainder by 4 keep the same weights, which are disjoint
  // from the others'.
  const nn::ModelOptions options = {.image = {3, 16, 16}};
  const auto model = nn::make_model("resnet20", options);
  randomize(*model, 1);
  nn::Parameter* weight = nullptr;
  for (const nn::NamedParameter& p : model->named_parameters()) {
    if (p.name == "layer1.0.conv1.weight") weight = p.parameter;
  }
  ASSERT_NE(weight, nullptr);
  Tensor mask = Tensor::zeros(weight->shape(), DType::U8);
  const int64_t filter = mask.numel() / 16;
  for (int64_t i = 0; i < mask.numel(); ++i) {
    mask.data<uint8_t>()[i] = i % filter % 4 == i / filter % 4;
  }
  weight->set_mask(mask);
  const Variable x = random_input("resnet20", options, 2);
  const Tensor before = logits(*model, x);
  const std::vector<BlockFill> report = gather_blocks(*model, random_input("resnet20", options, 1));
  ASSERT_EQ(report.size(), 1u);
  EXPECT_EQ(report[0].name, "layer1.0.conv1.weight");
  EXPECT_DOUBLE_EQ(report[0].density, 0.25);
  EXPECT_DOUBLE_EQ(report[0].before, 0.25);
  EXPECT_DOUBLE_EQ(report[0].after, 1.0);
  const double largest = largest_difference(before, Tensor::zeros_like(before));
  EXPECT_LT(largest_difference(logits(*model, x), before), 1e-5 * std::max(1.0, largest));
}

TEST(GatherBlocks, NeverFillsWorseAndLeavesDenseNetworksAlone) {
  const nn::ModelOptions options = small_options("vgg11");
  const auto model = nn::make_model("vgg11", options);
  const Variable one = random_input("vgg11", options, 1);
  const Tensor first = model->named_parameters().front().parameter->value.value().clone();
  EXPECT_TRUE(gather_blocks(*model, one).empty());
  EXPECT_EQ(largest_difference(model->named_parameters().front().parameter->value.value(), first),
            0.0);
  mask_some(*model);
  for (const BlockFill& weight : gather_blocks(*model, one)) {
    EXPECT_GE(weight.after, weight.before) << weight.name;
  }
}

}  // namespace
}  // namespace espalier::prune
