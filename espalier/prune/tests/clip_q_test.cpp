// SPDX-License-Identifier: Apache-2.0
/// CLIP-Q: the card's numbers, PyTorch's training (oracles/clip_q.py), and the traps.
#include <set>

#include <gtest/gtest.h>

#include <espalier/nn/forms/clip_q.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/prune/tests/small_training.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::kExact;
using testing::kHand;
using testing::linear_chain;
using testing::Options;
using testing::tiny_conv_net;
using testing::tiny_loader;

std::unique_ptr<Pruner> clip_q(const Options& given) {
  return make_pruner("clip-q", parse_settings(method("clip-q"), given), {.seed = 5});
}

const std::vector<float> kCard = {-1, -0.6F, -0.1F, 0.05F, 0.2F, 0.5F, 0.9F, 1.1F};

/// What one layer multiplies with.
Tensor effective_of(const std::vector<float>& weights, int64_t kept, int64_t bits) {
  nn::Parameter weight(Tensor::from<float>({1, static_cast<int64_t>(weights.size())}, weights));
  nn::ClipQ form(weight.shape(), {.kept = kept, .bits = bits});
  return form.effective(weight).value.value();
}

// Of three negative and five positive weights a quarter is clipped, one of either side. Left are
// lengths of 0.4 and 0.9: one interval and two of width 0.45, from 0.2 and 0.65 on.
TEST(ClipQ, ClipsAndQuantizesTheCardsWeights) {
  expect_near(effective_of(kCard, 6, 2), {-0.8, -0.8, 0, 0, 0.35, 0.35, 1.0, 1.0}, kHand);
}

// Seven intervals: 7 * 0.4 / 1.3 = 2.15 of the negative, five of the positive, 0.18 wide.
TEST(ClipQ, DividesIntervalsBetweenTheSignsByTheirRanges) {
  expect_near(effective_of(kCard, 6, 3), {-1, -0.6, 0, 0, 0.2, 0.5, 0.9, 1.1}, kHand);
  // Two intervals of 0.2: -1 | -0.6 -0.62; five of 0.2 from 0.1 on: 0.1 0.12 | 0.5 | 1.1.
  expect_near(effective_of({-1, -0.6F, -0.62F, 0.1F, 0.12F, 0.5F, 1.1F}, 7, 3),
              {-1, -0.61, -0.61, 0.11, 0.11, 0.5, 1.1},
              kHand);
  // A short side has an interval all the same, a missing one has none.
  expect_near(effective_of({-0.5F, -0.51F, 1, 9}, 4, 2), {-0.505, -0.505, 1, 9}, kHand);
  expect_near(effective_of({1, 2, 3, 4}, 4, 2), {1, 2, 3.5, 3.5}, kHand);
  expect_near(effective_of({2, 2, -2, -2}, 4, 2), {2, 2, -2, -2}, kHand);
  expect_near(effective_of({0, 0, 0, 1}, 2, 2), {0, 0, 0, 1}, kHand);
  expect_near(effective_of({1, 2}, 0, 2), {0, 0}, kHand);
}

// Trap: zero is one of the 2^b codes, and b bits are never more than 2^b values.
TEST(ClipQ, HasAtMostTwoToTheBitsValues) {
  for (const int64_t bits : {2, 3, 4, 6}) {
    nn::Parameter weight(testing::random_matrix(40, 50, 3));
    nn::ClipQ form(weight.shape(), {.kept = 1500, .bits = bits});
    const auto values = form.effective(weight).value.value().to_vector<double>();
    const std::set<double> different(values.begin(), values.end());
    EXPECT_LE(different.size(), size_t{1} << bits);
    EXPECT_GT(different.size(), (size_t{1} << bits) * 3 / 4);
    EXPECT_EQ(std::ranges::count(values, 0.0), 500);
  }
}

// Trap: the gradient reaches what is clipped, which may come back in the next step: t = 1 is
// clipped beside 2 and 3, is pushed to 2.5, and 2 is clipped.
TEST(ClipQ, WhatIsClippedIsTrainedAndComesBack) {
  const auto net = linear_chain({{{1, 3}, {1, 2, 3}}});
  const nn::FormSite site = nn::form_site(*net, "0.weight");
  const auto form = std::make_shared<nn::ClipQ>(Shape{1, 3}, nn::ClipQ::Options{.kept = 2});
  site.set(form);
  EXPECT_EQ(form->take_changes(*site.slot.parameter), 1);
  nn::Sgd sgd(*net, {.lr = 0.5}, 0.0);
  const Variable y = (*net)(Variable(Tensor::from<float>({1, 3}, {-3, 0, 0})));
  EXPECT_EQ(y.item(), 0.0);
  y.backward();
  expect_near(site.slot.parameter->value.grad().value(), {-3, 0, 0}, kHand);
  sgd.step();
  expect_near(form->effective(*site.slot.parameter).value.value(), {2.5, 0, 3}, kHand);
  EXPECT_EQ(form->take_changes(*site.slot.parameter), 2);
}

TEST(ClipQ, HeedsAMaskAndRefusesBadSettings) {
  nn::Parameter weight(Tensor::from<float>({1, 4}, {9, -1, 2, 3}));
  weight.set_mask(Tensor::from<uint8_t>({1, 4}, {0, 1, 1, 1}));
  nn::ClipQ form(weight.shape(), {.kept = 3, .bits = 2});
  expect_near(form.effective(weight).value.value(), {0, -1, 2, 3}, kHand);
  EXPECT_THROW(nn::ClipQ({1, 4}, {.kept = 5}), ValueError);
  EXPECT_THROW(nn::ClipQ({1, 4}, {.kept = 2, .bits = 1}), ValueError);
  EXPECT_THROW(nn::ClipQ({1, 4}, {.kept = 2, .bits = 17}), ValueError);
}

TEST(ClipQ, TravelsWithItsNetwork) {
  const auto net = tiny_conv_net();
  clip_q({{"sparsity", "0.5"}})->attach(*net);
  const auto other = tiny_conv_net(9);
  nn::restore_forms(*other, nn::describe_forms(*net));
  other->load_state_dict(net->state_dict());
  net->eval();
  other->eval();
  const Variable x(Tensor::ones({2, 3, 8, 8}));
  EXPECT_EQ((*net)(x).value().to_vector<float>(), (*other)(x).value().to_vector<float>());
}

// Trap: the last step must be made permanent. What evaluation computes under the forms, the plain
// network computes after them, with as many values, and exactly as many zeros as asked for.
TEST(ClipQ, TheLastStepStays) {
  const auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.02, .momentum = 0.9}, 1e-3);
  auto loader = tiny_loader();
  const auto pruner = clip_q({{"sparsity", "0.75"}, {"conv-bits", "3"}, {"fc-bits", "2"}});
  /// Looks before the forms go.
  class Last : public nn::TrainHook {
   public:
    void end_of_training(nn::TrainState& state) override {
      state.model.eval();
      const NoGrad no_grad;
      answers = state.model(Variable(Tensor::ones({2, 3, 8, 8}))).value().clone();
      state.model.train();
      EXPECT_FALSE(state.model.parameter("3.weight").masked());
    }
    Tensor answers;
  } last;
  nn::fit(*net, sgd, nn::ConstantLr(0.02), *loader, {&last, pruner.get()}, {.epochs = 2});
  EXPECT_FALSE(nn::has_forms(*net));
  net->eval();
  const NoGrad no_grad;
  EXPECT_EQ((*net)(Variable(Tensor::ones({2, 3, 8, 8}))).value().to_vector<float>(),
            last.answers.to_vector<float>());
  for (const auto& [name, most] : std::map<std::string, size_t>{{"3.weight", 8}, {"7.weight", 4}}) {
    const nn::Parameter& weight = net->parameter(name);
    EXPECT_EQ(weight.nnz(), weight.numel() / 4) << name;
    const auto values = weight.value.value().to_vector<float>();
    EXPECT_LE(std::set<float>(values.begin(), values.end()).size(), most) << name;
  }
  EXPECT_GT(pruner->updates().front().layers.at(1).changed, 0);
}

const testing::Oracle& oracle() {
  static const testing::Oracle values = {
#include <espalier/prune/tests/oracles/clip_q.inc>
  };
  return values;
}

TEST(ClipQOracle, WeightsAndWhatStaysFollowPyTorch) {
  testing::SmallTraining training(oracle());
  const auto timeline =
      choose_method(method("clip-q"), parse_settings(method("clip-q"), {{"fc-bits", "3"}}))
          .timeline();
  EXPECT_EQ(training.run(timeline, {}, Sparsity(0.6)), 10 + 1);
  for (const char* name : {"0.weight", "2.weight"}) {
    expect_near(
        training.net.parameter(name).value.value(), oracle().at(cat("folded ", name)), kExact);
  }
}

}  // namespace
}  // namespace espalier::prune
