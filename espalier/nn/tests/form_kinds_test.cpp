// SPDX-License-Identifier: Apache-2.0
// The kinds of forms, each against values worked by hand.
#include <cmath>

#include <espalier/autograd/derivative/gradcheck.h>
#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/nn/forms/straight_through.h>
#include <espalier/nn/forms/supermask.h>
#include <espalier/nn/forms/top_kast.h>
#include <espalier/nn/tests/forms_support.h>
#include <espalier/nn/tests/support.h>
#include <espalier/nn/train/sgd.h>

namespace espalier::nn {
namespace {

constexpr double kTolerance = 1e-6;

void expect_near(const Tensor& got, const std::vector<double>& expected) {
  const std::vector<double> numbers = values(got);
  ASSERT_EQ(numbers.size(), expected.size());
  for (size_t i = 0; i < numbers.size(); ++i) EXPECT_NEAR(numbers[i], expected[i], kTolerance) << i;
}

/// One output without bias, with the weights given.
Linear one_output(const std::vector<float>& weights) {
  Linear layer({.in = static_cast<int64_t>(weights.size()), .out = 1, .bias = false});
  set(layer.weight, weights);
  return layer;
}

// w = (.5, -1), s = (.2, .1), one of two: y = .5; ds = (.5, -1); after a step of rate 1 s = (-.3,
// 1.1), and the other weight is chosen.
TEST(Supermask, MatchesTheHandWorkedExample) {
  Linear layer = one_output({0.5F, -1});
  auto form = std::make_shared<Supermask>(layer.weight.shape(), 1);
  set(form->scores, {0.2F, 0.1F});
  layer.form = form;
  Sgd sgd(layer, {.lr = 1.0}, /*weight_decay=*/0.0);
  const Variable x(Tensor::ones({1, 2}));
  const Variable y = layer(x);
  EXPECT_EQ(y.item(), 0.5);
  y.backward();
  expect_near(form->scores.value.grad().value(), {0.5, -1.0});
  EXPECT_FALSE(layer.weight.value.grad().defined());
  sgd.step();
  expect_near(form->scores.value.value(), {-0.3, 1.1});
  expect_near(layer.weight.value.value(), {0.5, -1.0});
  EXPECT_EQ(layer(x).item(), -1.0);
}

TEST(Supermask, KeepsExactlyKWithTies) {
  Linear layer = one_output({1, 2, 3, 4, 5, 6});
  auto form = std::make_shared<Supermask>(layer.weight.shape(), 0);
  layer.form = form;
  set(form->scores, {1, -1, 1, 1, 0, -2});
  for (int64_t k = 0; k <= 6; ++k) {
    form->keep(k);
    const Effective e = form->effective(layer.weight);
    EXPECT_EQ(e.sparsity.support->nnz(), k);
    EXPECT_EQ(nonzero(e.value.value()), k);
  }
  form->keep(3);  // -2 and, of the equal ones, the first two
  expect_near(form->effective(layer.weight).value.value(), {1, 2, 0, 0, 0, 6});
  EXPECT_THROW(form->keep(7), ValueError);
  EXPECT_THROW(form->keep(-1), ValueError);
}

// Frozen weights stay what they are to the last bit, whatever the optimizer does; a mask that they
// have is kept.
TEST(Supermask, WeightsAreFrozenAndChosenAmongThoseThatExist) {
  auto net = tiny_net();
  const FormSite site = form_site(*net, "conv.weight");
  Tensor mask = two_thirds_mask(site.slot.parameter->shape());
  site.slot.parameter->set_mask(mask);
  auto form = std::make_shared<Supermask>(mask.shape(), 9);
  site.set(form);
  const std::vector<double> before = values(net->parameter("conv.weight").value.value());
  Sgd sgd(*net, {.lr = 0.5, .momentum = 0.9}, /*weight_decay=*/0.1);
  for (int step = 0; step < 5; ++step) {
    net->zero_grad();
    sum((*net)(Variable(random_tensor({4, 1, 8, 8}, 3)))).backward();
    sgd.step();
    const Tensor chosen = form->effective(*site.slot.parameter).sparsity.support->mask();
    for (int64_t i = 0; i < mask.numel(); ++i) {
      EXPECT_LE(chosen.data<uint8_t>()[i], mask.data<uint8_t>()[i]);
    }
  }
  EXPECT_EQ(values(net->parameter("conv.weight").value.value()), before);
}

// w = (4,-3,2,1), 2:4, G = 0.1: the gradient is (.1, .1, .1004, .1002).
TEST(StraightThrough, MatchesTheHandWorkedExample) {
  Linear layer = one_output({4, -3, 2, 1});
  layer.form = std::make_shared<StraightThrough>(layer.weight.shape(), StraightThrough::Options{});
  const Variable y = layer(Variable(Tensor::full({1, 4}, 0.1)));
  EXPECT_NEAR(y.item(), 0.1, kTolerance);
  y.backward();
  expect_near(layer.weight.value.grad().value(), {0.1, 0.1, 0.1004, 0.1002});
  layer.zero_grad();
  layer.eval();  // the decay belongs to training
  layer(Variable(Tensor::full({1, 4}, 0.1))).backward();
  expect_near(layer.weight.value.grad().value(), {0.1, 0.1, 0.1, 0.1});
}

TEST(StraightThrough, AllOfAllIsDenseTraining) {
  Linear layer({.in = 8, .out = 5});
  Linear plain = layer;
  plain.weight = layer.weight.clone();
  layer.form = std::make_shared<StraightThrough>(
      layer.weight.shape(), StraightThrough::Options{.pattern = {.keep = 4, .of = 4}});
  const Variable x(random_tensor({3, 8}, 1));
  const Variable y = layer(x);
  EXPECT_EQ(values(y.value()), values(plain(x).value()));
  sum(y * y).backward();
  const Variable z = plain(x);
  sum(z * z).backward();
  EXPECT_EQ(values(layer.weight.value.grad().value()), values(plain.weight.value.grad().value()));
}

TEST(StraightThrough, TheChoiceFollowsTheWeightsAndFlipsAreCounted) {
  Linear layer = one_output({-1, 0.9F, 2, 0});
  auto form = std::make_shared<StraightThrough>(layer.weight.shape(), StraightThrough::Options{});
  EXPECT_EQ(form->take_flips(layer.weight), 2);  // from all to two of four
  EXPECT_EQ(form->take_flips(layer.weight), 0);
  const auto before = form->chosen(layer.weight);
  set(layer.weight, {-1.1F, 0.8F, 2, 0});
  EXPECT_EQ(form->chosen(layer.weight), before);  // what kernels derived from it stays
  set(layer.weight, {-0.8F, 1.1F, 2.2F, 0.2F});
  form->effective(layer.weight);
  set(layer.weight, {-1, 0.9F, 2, 0});
  EXPECT_EQ(form->take_flips(layer.weight), 4);
  EXPECT_THROW(StraightThrough({2, 6}, {.pattern = {.keep = 2, .of = 4}}), ShapeError);
  EXPECT_THROW(StraightThrough({2, 8}, {.pattern = {.keep = 5, .of = 4}}), ValueError);
}

// Inputs at one place of the kernel are neighbours, and groups of outputs share a choice.
TEST(StraightThrough, ChoosesAlongTheInputs) {
  const Tensor weight = Tensor::from<float>({2, 2, 1, 2},
                                            {1,
                                             5,
                                             2,
                                             4,  // output 0: inputs 0 and 1 at two places
                                             3,
                                             1,
                                             1,
                                             1});  // output 1
  EXPECT_EQ(n_of_m_mask(weight, {.keep = 1, .of = 2}).to_vector<uint8_t>(),
            (std::vector<uint8_t>{0, 1, 1, 0, 1, 1, 0, 0}));
  EXPECT_EQ(n_of_m_mask(weight, {.keep = 1, .of = 2, .group = 2}).to_vector<uint8_t>(),
            (std::vector<uint8_t>{1, 1, 0, 0, 1, 1, 0, 0}));
}

// Groups of 4 with 3, 1 and 0 weights left: two, one and none stay.
TEST(StraightThrough, ChoosesAmongTheWeightsThatExist) {
  Linear layer({.in = 12, .out = 1, .bias = false});
  set(layer.weight, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  layer.weight.set_mask(Tensor::from<uint8_t>({1, 12}, {1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}));
  StraightThrough form(layer.weight.shape(), {.pattern = {.keep = 2, .of = 4}, .decay = 0.0});
  EXPECT_EQ(form.chosen(layer.weight)->mask().to_vector<uint8_t>(),
            (std::vector<uint8_t>{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}));
}

TEST(StraightThrough, AnotherChoiceIsAFunction) {
  Linear layer = one_output({1, 2, 3});
  layer.form = std::make_shared<StraightThrough>(
      layer.weight.shape(), StraightThrough::Options{}, [](const Tensor& weight) {
        return largest_mask(weight, 1);
      });
  EXPECT_EQ(layer(Variable(Tensor::ones({1, 3}))).item(), 3.0);
}

// log alpha 0: the gate is 1/2 in evaluation, and P(z != 0) is .8318222.
TEST(HardConcrete, MatchesTheHandWorkedGateAndPenalty) {
  Linear layer = one_output({2, -4});
  auto form =
      std::make_shared<HardConcrete>(layer.weight.shape(), HardConcrete::Options{.drop_rate = 0.5});
  set(form->log_alpha, {0, -3});  // the second is below -log 11: closed
  layer.form = form;
  layer.eval();
  const Effective e = form->effective(layer.weight);
  expect_near(e.value.value(), {1, 0});
  EXPECT_EQ(e.sparsity.support->mask().to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0}));
  set(form->log_alpha, {0, 0});
  const double p = 0.8318222;
  EXPECT_NEAR(form->penalty(layer.weight, 3.0, 0.5).item(), p * (3 + 1) + p * (3 + 4), 1e-5);
  form->penalty(layer.weight, 3.0, 0.0).backward();  // d = price p (1 - p)
  expect_near(form->log_alpha.value.grad().value(), {3 * p * (1 - p), 3 * p * (1 - p)});
  set(form->log_alpha, {99, -99});
  form->clamp();
  expect_near(form->log_alpha.value.value(), {std::log(100.0), -std::log(100.0)});
  EXPECT_FALSE(form->log_alpha.decays);
}

// The gates of a pass are those that the formula makes of the noise of its position.
TEST(HardConcrete, NoiseIsAFunctionOfSeedPositionAndNumber) {
  const Shape shape{40, 30};
  HardConcrete form(shape, {.seed = 5, .number = 3});
  Parameter ones(Tensor::ones(shape));
  const auto pass = [&](int64_t position) {
    form.set_position(position);
    return values(form.effective(ones).value.value());
  };
  const std::vector<double> seventh = pass(7);
  EXPECT_NE(pass(8), seventh);
  EXPECT_EQ(pass(7), seventh);
  form.set_position(6);
  form.effective(ones);
  EXPECT_EQ(values(form.effective(ones).value.value()), seventh);  // a pass is a position
  Rng noise = Rng(5, "l0 gates").fork(7).fork(3).fork(0);
  for (int64_t u = 0; u < 100; ++u) {
    const double a = form.log_alpha.value.value().data<float>()[u];
    const double uniform = noise.uniform(hard_concrete::kEpsilon, 1.0 - hard_concrete::kEpsilon);
    EXPECT_EQ(seventh[static_cast<size_t>(u)],
              static_cast<float>(hard_concrete::sample(a, uniform).z));
  }
  HardConcrete other(shape, {.seed = 5, .number = 4});
  other.set_position(7);
  EXPECT_NE(values(other.effective(ones).value.value()), seventh);
}

TEST(HardConcrete, SharedGatesHaveOneNoise) {
  Conv2d a({.in_channels = 6, .out_channels = 3}), b({.in_channels = 6, .out_channels = 9});
  const HardConcrete::Options options{.grain = HardConcrete::Grain::Inputs, .seed = 2, .number = 1};
  auto first = std::make_shared<HardConcrete>(a.weight.shape(), options);
  auto second = std::make_shared<HardConcrete>(b.weight.shape(), options);
  second->share(*first);
  a.weight.value.value().fill_(1.0);
  b.weight.value.value().fill_(1.0);
  const Tensor x = first->effective(a.weight).value.value();
  const Tensor y = second->effective(b.weight).value.value();
  for (int64_t c = 0; c < 6; ++c) EXPECT_EQ(x.at({0, c, 0, 0}), y.at({8, c, 2, 2})) << c;
  HardConcrete outputs(b.weight.shape(), {.grain = HardConcrete::Grain::Outputs});
  EXPECT_THROW(outputs.share(*first), ValueError);
}

// Differences of a loss in log alpha and w, at one noise, are the gradients. (Straight-through
// gradients are of no function: those of the others are the oracle's, forms_oracle_test.cpp.)
TEST(HardConcrete, GradientsMatchDifferencesInFloat64) {
  for (const bool training : {true, false}) {
    HardConcrete form({4, 5}, {});
    form.to(DType::F64);
    form.train(training);
    const auto run = [&](const std::vector<Variable>& in) {
      Parameter weight;
      weight.value = in[0];
      form.log_alpha.value = in[1];
      form.set_position(2);
      const Effective e = form.effective(weight);
      return linear(in[2], e.value, {}, e.sparsity);
    };
    Tensor log_alpha = random_tensor({4, 5}, 2, DType::F64);
    for (int64_t i = 0; i < 20; ++i) log_alpha.data<double>()[i] *= 4.0;
    EXPECT_EQ(gradcheck(run,
                        {random_tensor({4, 5}, 1, DType::F64),
                         log_alpha,
                         random_tensor({3, 5}, 3, DType::F64)}),
              "");
  }
}

// w = (4, -3, 2, 1), one of four in use, three trained: y = 4 x0, dw = x but for the last.
TEST(TopKast, MultipliesWithTheLargestAndTrainsMore) {
  Linear layer = one_output({4, -3, 2, 1});
  auto form =
      std::make_shared<TopKast>(layer.weight.shape(), TopKast::Counts{.forward = 1, .backward = 3});
  layer.form = form;
  EXPECT_FALSE(form->choose(layer.weight));  // the first ones happen to be the largest
  const Variable x(Tensor::from<float>({1, 4}, {1, 10, 100, 1000}));
  Variable y = layer(x);
  EXPECT_EQ(y.item(), 4.0);
  y.backward();
  expect_near(layer.weight.value.grad().value(), {1, 10, 100, 0});
  // Chosen when asked, not in every pass.
  set(layer.weight, {1, 2, 3, -4});
  EXPECT_EQ(layer(x).item(), 1.0);
  EXPECT_TRUE(form->choose(layer.weight));
  EXPECT_EQ(layer(x).item(), -4000.0);
  EXPECT_EQ(values(form->backward_mask()), (std::vector<double>{0, 1, 1, 1}));
  // A mask that is there is kept, even where fewer are left than asked for.
  layer.weight.set_mask(Tensor::from<uint8_t>({1, 4}, {1, 1, 0, 0}));
  form->choose(layer.weight);
  EXPECT_EQ(values(form->forward_mask()), (std::vector<double>{0, 1, 0, 0}));
  EXPECT_EQ(values(form->backward_mask()), (std::vector<double>{1, 1, 0, 0}));
  EXPECT_THROW(TopKast(layer.weight.shape(), {.forward = 3, .backward = 2}), ValueError);
}

}  // namespace
}  // namespace espalier::nn
