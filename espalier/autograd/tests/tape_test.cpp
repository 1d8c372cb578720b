// SPDX-License-Identifier: Apache-2.0
// The tape: what is recorded, when it is released, and what backward passes promise.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/core/storage.h>

namespace espalier {
namespace {

Variable leaf(std::vector<double> values) {
  return Variable(Tensor::from({static_cast<int64_t>(values.size())}, values), true);
}
Variable scalar_leaf(double value) {
  return Variable(Tensor::scalar(value, DType::F64), true);
}
std::vector<double> values(const Variable& v) {
  return v.value().to_vector<double>();
}
using Values = std::vector<double>;

TEST(Tape, ComputesTheGradientOfAProduct) {
  const Variable x = leaf({1, 2, 3});
  const Variable y = leaf({4, 5, 6});
  sum(x * y).backward();
  EXPECT_EQ(values(x.grad()), (Values{4, 5, 6}));
  EXPECT_EQ(values(y.grad()), (Values{1, 2, 3}));
}

TEST(Tape, AccumulatesOverBackwardPassesUntilZeroed) {
  Variable x = leaf({1, 2});
  sum(x * x).backward();
  sum(x * 3.0).backward();
  EXPECT_EQ(values(x.grad()), (Values{5, 7}));
  x.zero_grad();
  EXPECT_FALSE(x.grad().defined());
}

TEST(Tape, AddsTheTwoSidesOfADiamond) {
  const Variable x = scalar_leaf(3);
  const Variable left = x * x;
  const Variable right = x * 5.0;
  (left * right).backward();  // 5 x^3
  EXPECT_EQ(x.grad().item(), 135);
}

TEST(Tape, VisitsAnOpOnceHoweverManyPathsLeadToIt) {
  // 2^60 paths; the derivative is their number.
  Variable x = scalar_leaf(1);
  Variable y = x;
  for (int i = 0; i < 60; ++i) y = y + y;
  y.backward();
  EXPECT_EQ(x.grad().item(), 1152921504606846976.0);
}

TEST(Tape, DoesNotAddToAGradientThatAnotherVariableHas) {
  const Variable x = scalar_leaf(1);
  const Variable y = x * 2.0;
  const Variable w = x * 7.0;
  const Variable older = y * 3.0;
  (older + (y + w)).backward();  // the sum gives one tensor to y and to w; y gets more
  EXPECT_EQ(x.grad().item(), 15);
}

TEST(Tape, DoesNotAddToAGradientThatAHookKept) {
  const Variable x = scalar_leaf(1);
  const Variable y = x * 2.0;
  const Variable older = y * 3.0;
  Variable newer = y * 5.0;
  Variable kept;
  newer.register_hook([&](const Variable& gradient) {
    kept = gradient;
    return Variable();
  });
  const Variable same = reshape(newer, {});
  (older + same).backward();
  EXPECT_EQ(x.grad().item(), 16);
  EXPECT_EQ(kept.item(), 1);
}

TEST(Tape, ABackwardFunctionMayAddItsPartToWhatCameBefore) {
  const Variable x = leaf({1, 2});
  const Variable h = x * 2.0;
  const Variable y = record("five times",
                            Tensor::from<double>({2}, {10, 20}),
                            {h},
                            [](const BackwardContext& ctx) -> std::vector<Variable> {
                              EXPECT_TRUE(ctx.gathered[0].defined());
                              Tensor sum = ctx.gathered[0].value();
                              for (int64_t i = 0; i < 2; ++i) {
                                sum.data<double>()[i] += 5.0 * ctx.grad.value().at({i});
                              }
                              return {Variable(sum)};
                            });
  const Variable beside = h * 3.0;
  (sum(y) + sum(beside)).backward();
  EXPECT_EQ(values(x.grad()), (Values{16, 16}));
}

TEST(Tape, UsesTheSameVariableTwiceAsOperand) {
  const Variable x = scalar_leaf(7);
  (x * x).backward();
  EXPECT_EQ(x.grad().item(), 14);
}

TEST(Tape, GivesEveryLeafAGradientOfItsOwn) {
  Variable x = leaf({1, 2});
  Variable y = leaf({3, 4});
  const Variable incoming(Tensor::from<double>({2}, {1, 1}));
  (x + y).backward(incoming);
  x.grad().value();
  Variable gx = x.grad();
  gx.value().fill_(9);
  EXPECT_EQ(values(y.grad()), (Values{1, 1}));
  EXPECT_EQ(values(incoming), (Values{1, 1}));
}

TEST(Tape, GivesLeavesGradientsThatCanBeWritten) {
  Variable x = leaf({1, 2, 3});
  sum(x).backward();
  Variable g = x.grad();
  ASSERT_TRUE(g.value().is_contiguous());
  g.value().data<double>()[0] = 5;
  EXPECT_EQ(values(g), (Values{5, 1, 1}));
}

TEST(Tape, RecordsNothingUnderNoGrad) {
  const Variable x = leaf({1, 2});
  {
    const NoGrad no_grad;
    EXPECT_FALSE(is_recording());
    const Variable y = x * x;
    EXPECT_FALSE(y.requires_grad());
    EXPECT_EQ(producer(y), nullptr);
    const RecordingScope again(true);
    EXPECT_TRUE((x * x).requires_grad());
  }
  EXPECT_TRUE(is_recording());
  EXPECT_THROW(sum(leaf({1}).detach()).backward(), ValueError);
}

TEST(Tape, StopsAtDetach) {
  const Variable x = scalar_leaf(3);
  (x * (x * x).detach()).backward();
  EXPECT_EQ(x.grad().item(), 9);
}

TEST(Tape, ThrowsNamingTheOpAtASecondPassAndAllowsItWhenRetained) {
  const Variable x = scalar_leaf(2);
  const Variable y = x * x;
  y.backward({}, true);
  y.backward();
  EXPECT_EQ(x.grad().item(), 8);
  try {
    y.backward();
    FAIL() << "the saved tensors are gone";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("mul"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("retain_graph"), std::string::npos) << error.what();
  }
}

TEST(Tape, NeedsAGradientForMoreThanOneElement) {
  const Variable x = leaf({1, 2});
  EXPECT_THROW((x * x).backward(), ShapeError);
  EXPECT_THROW((x * x).backward(Variable(Tensor::ones({3}, DType::F64))), ShapeError);
  (x * x).backward(Variable(Tensor::from<double>({2}, {1, 10})));
  EXPECT_EQ(values(x.grad()), (Values{2, 40}));
}

TEST(Tape, CallsHooksOfLeavesWithTheCompleteGradient) {
  Variable x = scalar_leaf(3);
  int calls = 0;
  x.register_hook([&](const Variable& g) {
    ++calls;
    EXPECT_EQ(g.item(), 11);  // 2x + 5: both paths are in
    return g * 2.0;
  });
  (x * x + x * 5.0).backward();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(x.grad().item(), 22);
}

TEST(Tape, CallsHooksOfIntermediateResultsAndUsesWhatTheyReturn) {
  const Variable x = scalar_leaf(3);
  Variable y = x * x;
  Values seen;
  y.register_hook([&](const Variable& g) {
    seen.push_back(g.item());
    return Variable();  // keep it
  });
  y.register_hook([](const Variable& g) { return g * 10.0; });
  (y * 2.0 + y).backward();
  EXPECT_EQ(seen, (Values{3}));
  EXPECT_EQ(x.grad().item(), 180);
  EXPECT_THROW(y.detach().register_hook([](const Variable& g) { return g; }), ValueError);
}

TEST(Grad, LeavesTheLeavesAlone) {
  const Variable x = scalar_leaf(3);
  const std::vector<Variable> g = grad({x * x}, {x});
  EXPECT_EQ(g[0].item(), 6);
  EXPECT_FALSE(g[0].requires_grad());
  EXPECT_FALSE(x.grad().defined());
}

TEST(Grad, WorksForIntermediateResults) {
  const Variable x = scalar_leaf(3);
  const Variable y = x * x;
  const Variable z = y * y;
  const std::vector<Variable> g = grad({z}, {y, x, z});
  EXPECT_EQ(g[0].item(), 18);
  EXPECT_EQ(g[1].item(), 108);
  EXPECT_EQ(g[2].item(), 1);
}

TEST(Grad, SumsOverOutputsWeightedByTheirGradients) {
  const Variable x = leaf({1, 2});
  const GradOptions options{.grad_outputs = {Variable(Tensor::from<double>({2}, {1, 2})),
                                             Variable(Tensor::from<double>({2}, {3, 4}))}};
  EXPECT_EQ(values(grad({x * 2.0, x * x}, {x}, options)[0]), (Values{8, 20}));
  EXPECT_THROW(grad({x * 2.0}, {x}, options), ValueError);
}

TEST(Grad, ThrowsForAnUnusedInputUnlessAllowed) {
  const Variable x = scalar_leaf(3);
  const Variable other = scalar_leaf(1);
  EXPECT_THROW(grad({x * x}, {x, other}), ValueError);
  const std::vector<Variable> g = grad({x * x}, {x, other}, {.allow_unused = true});
  EXPECT_EQ(g[0].item(), 6);
  EXPECT_FALSE(g[1].defined());
  EXPECT_THROW(grad({x * x}, {other.detach()}), ValueError);
}

TEST(Grad, DoesNotRunOpsThatLeadToNoWantedInput) {
  const Variable x = scalar_leaf(3);
  Variable unrelated = scalar_leaf(2) * 1.0;
  int calls = 0;
  unrelated.register_hook([&](const Variable& g) { return g; });
  const Variable deep =
      record("deep", unrelated.value().clone(), {unrelated}, [&](const auto& ctx) {
        ++calls;
        return std::vector<Variable>{ctx.grad};
      });
  EXPECT_EQ(grad({x * deep}, {x})[0].item(), 2);
  EXPECT_EQ(calls, 0);
}

TEST(Grad, DifferentiatesAFourthPowerThreeTimes) {
  const Variable x = scalar_leaf(1.5);
  const Variable y = x * x * x * x;
  const GradOptions again{.create_graph = true};
  const Variable first = grad({y}, {x}, again)[0];
  const Variable second = grad({first}, {x}, again)[0];
  const Variable third = grad({second}, {x}, again)[0];
  const Variable fourth = grad({third}, {x})[0];
  EXPECT_EQ(first.item(), 13.5);  // 4 x^3
  EXPECT_EQ(second.item(), 27);   // 12 x^2
  EXPECT_EQ(third.item(), 36);    // 24 x
  EXPECT_EQ(fourth.item(), 24);
}

TEST(Grad, PassesThroughAGradientIntoTheWeights) {
  // d/dw of |dL/dx|^2 for L = w x^2: (2 w x)^2 has the derivative 8 w x^2.
  const Variable w = scalar_leaf(3);
  const Variable x = scalar_leaf(2);
  const Variable g = grad({w * x * x}, {x}, {.create_graph = true})[0];
  (g * g).backward();
  EXPECT_EQ(w.grad().item(), 96);
}

TEST(Tape, ReleasesWhatItSavedAfterTheBackwardPass) {
  const Variable x(Tensor::ones({1 << 16}), true);
  const int64_t before = memory_stats().bytes_in_use;
  Variable y = exp(exp(exp(x)) * 0.1);
  const Variable loss = sum(y);
  y = {};
  const int64_t recorded = memory_stats().bytes_in_use;
  EXPECT_GE(recorded - before, int64_t{2} * 4 * (1 << 16));  // outputs saved by exp
  loss.backward();
  // What is left is the leaf's gradient and the loss.
  EXPECT_LE(memory_stats().bytes_in_use - before, int64_t{4} * (1 << 16) + 64);
}

TEST(Tape, KeepsNothingWhenAResultIsDropped) {
  const Variable x(Tensor::ones({1 << 12}), true);
  const int64_t before = memory_stats().bytes_in_use;
  {
    const Variable y = sigmoid(exp(x) * tanh(x));
    const Variable g = grad({sum(y)}, {x}, {.create_graph = true})[0];
    EXPECT_GT(memory_stats().bytes_in_use, before);
  }
  EXPECT_EQ(memory_stats().bytes_in_use, before);
}

TEST(Tape, SurvivesAChainOfAHundredThousandOps) {
  const Variable x = scalar_leaf(1);
  Variable y = x;
  for (int i = 0; i < 100000; ++i) y = y + 1.0;
  y.backward();
  EXPECT_EQ(x.grad().item(), 1);
  EXPECT_EQ(y.item(), 100001);
  y = x;
  for (int i = 0; i < 100000; ++i) y = exp(neg(y) * 0.001);  // dropped without a backward pass
  y = {};
  Variable z = x;
  for (int i = 0; i < 100000; ++i) z = z * 1.0;
  EXPECT_EQ(grad({z}, {x})[0].item(), 1);
}

TEST(Tape, KeepsTheLayoutOfItsLeavesForGradients) {
  const Variable x(Tensor::ones({17, 2}).to(Layout::Nchw16n), true);
  sum(x * 2.0).backward();
  EXPECT_EQ(x.grad().layout(), Layout::Nchw16n);
  EXPECT_EQ(x.grad().value().to_vector<double>(), Values(34, 2.0));
}

TEST(Variable, RefusesGradientsForIntegers) {
  EXPECT_THROW(Variable(Tensor::arange(3), true), TypeError);
  EXPECT_THROW(Variable().value(), ValueError);
}

TEST(Variable, ReplacesValuesOfLeavesOnly) {
  Variable x = leaf({1, 2});
  Variable y = x * 2.0;
  EXPECT_THROW(y.set_value(x.value()), ValueError);
  EXPECT_THROW(y.set_requires_grad(false), ValueError);
  EXPECT_THROW(x.set_value(Tensor::ones({2})), TypeError);
  x.set_value(Tensor::ones({3}, DType::F64));
  EXPECT_EQ(x.numel(), 3);
}

}  // namespace
}  // namespace espalier
