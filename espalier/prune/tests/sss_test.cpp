// SPDX-License-Identifier: Apache-2.0
/// Sparse structure selection: the card's three steps, factors that reach zero, a training next to
/// PyTorch's (oracles/sss.py), and the traps.
#include <gtest/gtest.h>

#include <espalier/prune/actions/unit_factors.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/conv_training.h>

namespace espalier::prune {
namespace {

using testing::ConvTraining;
using testing::Options;

std::unique_ptr<Pruner> sss(Options given) {
  given.insert({"sparsity", "0.5"});
  return make_pruner(
      "sss", parse_settings(method("sss"), given), {.input_shape = {2, 4, 4}, .seed = 5});
}

nn::Factors& factors_on(nn::Module& net, const std::string& weight) {
  return dynamic_cast<nn::Factors&>(*nn::form_site(net, weight).form());
}

/// A step of the method on given gradients.
class ByHand {
 public:
  ByHand() {
    pruner = sss({{"prune-at", "1"}, {"strength", "0.01"}, {"factor-momentum", "0.9"}});
    pruner->attach(training.net);
    training.net.to(DType::F64);
    sgd = std::make_unique<nn::Sgd>(training.net, nn::SgdOptions{.lr = 0.1}, 0.5);
  }
  double step(double gradient) {
    nn::TrainState state{.model = training.net, .optimizer = *sgd, .total_steps = 10'000};
    state.step = number++;
    if (state.step == 0) pruner->before_training(state);
    pruner->before_step(state);
    nn::Parameter& f = factors_on(training.net, "3.weight").factors;
    f.value.set_grad(Variable(Tensor::full(f.shape(), gradient, DType::F64)));
    pruner->after_backward(state);
    sgd->step();
    pruner->after_step(state);
    return f.value.value().to_vector<double>()[2];
  }
  ConvTraining training;
  std::unique_ptr<Pruner> pruner;
  std::unique_ptr<nn::Sgd> sgd;
  int64_t number = 0;
};

TEST(Sss, TheCardsThreeSteps) {
  ByHand run;
  EXPECT_NEAR(run.step(0.5), 0.9031, 1e-12);
  EXPECT_NEAR(
      factors_on(run.training.net, "3.weight").memories[0].to_vector<double>()[2], -0.051, 1e-12);
  EXPECT_NEAR(run.step(0.5), 0.76489, 1e-12);
  EXPECT_NEAR(run.step(0.5), 0.589501, 1e-12);
}

TEST(Sss, WithoutAGradientFactorsReachZeroExactlyAndStay) {
  // The optimizer's weight decay of 0.5 is not on factors: it would leave them small, never zero.
  ByHand run;
  EXPECT_NEAR(run.step(0.0), 1.0 - 0.0019, 1e-12);
  int64_t steps = 1;
  while (run.step(0.0) > 0.0 && steps < 1000) ++steps;
  EXPECT_LT(steps, 200);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(run.step(0.0), 0.0);
  // Trap: a factor of zero must still see its gradient, and can come back.
  EXPECT_GT(run.step(-5.0), 0.0);
}

TEST(Sss, FactorsAreNeverNegativeAndClippingLeavesTheVelocity) {
  ByHand run;
  for (int i = 0; i < 3; ++i) EXPECT_GE(run.step(50.0), 0.0);
  EXPECT_LT(factors_on(run.training.net, "3.weight").memories[0].to_vector<double>()[2], 0.0);
}

TEST(Sss, WithoutDecayWeightsGrowWhileFactorsShrink) {
  // Trap: behind factors that shrink, weights grow, and factors then tell nothing. Weight decay is
  // what holds them, and is on weights alone.
  std::map<double, double> size;
  std::map<double, double> factors;
  for (const double decay : {0.0, 0.1}) {
    ConvTraining training({.lr = 0.1, .momentum = 0.9}, decay);
    const auto pruner = sss({{"prune-at", "1"}, {"strength", "0.05"}});
    const auto norm = [&] {
      double sum = 0.0;
      for (const double w : training.net.parameter("3.weight").value.value().to_vector<double>()) {
        sum += w * w;
      }
      return std::sqrt(sum);
    };
    const double before = norm();
    training.run(*pruner, 20, [&](int64_t step) {
      if (step != 18) return;
      size[decay] = norm() / before;
      for (const double f :
           factors_on(training.net, "3.weight").factors.value.value().to_vector<double>()) {
        factors[decay] += f / 4;
      }
    });
  }
  EXPECT_GT(size.at(0.0), 1.0);
  EXPECT_LT(factors.at(0.0), 0.9);
  EXPECT_LT(size.at(0.1), 1.0);
}

TEST(Sss, AZeroFactorTellsItsGradientThroughTheNetwork) {
  ConvTraining training;
  const auto pruner = sss({{"prune-at", "1"}});
  pruner->attach(training.net);
  training.net.to(DType::F64);
  nn::Factors& form = factors_on(training.net, "3.weight");
  form.factors.value.value().data<double>()[1] = 0.0;
  sum(training.net(Variable(testing::formula({4, 2, 4, 4}, 20))) *
      Variable(testing::formula({4, 3}, 2)))
      .backward();
  EXPECT_NE(gradient_of(form)[1], 0.0);
}

TEST(Sss, AFactorBehindTheNormIsFoldedExactlyAndShrinks) {
  ConvTraining training;
  const auto pruner = sss(
      {{"strength", "0.268"}, {"factor-momentum", "0.6"}, {"select", "zeros"}, {"prune-at", "1"}});
  training.run(*pruner, 16);
  EXPECT_FALSE(nn::has_forms(training.net));
  const Variable x(testing::formula({4, 2, 4, 4}, 20));
  training.net.eval();
  const std::vector<double> before = training.net(x).value().to_vector<double>();
  shrink(training.net, Variable(testing::formula({1, 2, 4, 4}, 20)));
  EXPECT_EQ(training.net.parameter("3.weight").shape(), (Shape{1, 1, 3, 3}));
  testing::expect_near(training.net(x).value(), before, testing::kExact);
}

const ConvTraining::Written& written() {
  static const ConvTraining::Written values = {
#include <espalier/prune/tests/oracles/sss.inc>
  };
  return values;
}

TEST(SssOracle, SelectsFoldsAndTunesAsPyTorch) {
  ConvTraining training({.lr = 0.1, .momentum = 0.9, .nesterov = true}, 1e-2);
  const auto pruner = sss({{"strength", "0.268"},
                           {"factor-momentum", "0.6"},
                           {"select", "zeros"},
                           {"prune-at", cat(2.0 / 3.0)}});
  training.run(*pruner, 24, [&](int64_t step) {
    if (step != 15) return;
    testing::expect_near(factors_on(training.net, "3.weight").factors.value.value(),
                         written().at("factors 1"),
                         testing::kExact);
    testing::expect_near(factors_on(training.net, "8.weight").factors.value.value(),
                         written().at("factors 4"),
                         testing::kExact);
  });
  EXPECT_EQ(training.compare(written(), "end"), 7);
  RecordProperty("largest", cat(training.largest));
}

}  // namespace
}  // namespace espalier::prune
