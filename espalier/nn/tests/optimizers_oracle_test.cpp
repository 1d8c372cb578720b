// SPDX-License-Identifier: Apache-2.0
// RMSprop, Adagrad and Muon against PyTorch's, in float64 (oracles/optimizers.py), and the rules of
// Muon and Lookahead.
#include <cmath>

#include <espalier/autograd/tests/oracle.h>
#include <espalier/core/arithmetic.h>
#include <espalier/core/parallel.h>

#include "optimizers.h"

namespace espalier::nn {
namespace {

class OptimizersOracle : public ::testing::Test {
 protected:
  // Eight steps of what `make` makes of the groups of one parameter.
  template <class Make>
  std::map<std::string, Tensor> run(const std::string& name,
                                    const Shape& shape,
                                    double decay,
                                    Make make) {
    Parameter w(made(shape, 1));
    const auto optimizer =
        make(std::vector<ParameterGroup>{{.parameters = {{"w", &w}}, .weight_decay = decay}});
    for (int64_t step = 0; step < 8; ++step) {
      w.value.set_grad(Variable(made(shape, step + 2) * (step % 5 == 1 ? 3.0 : 0.2)));
      optimizer->step();
      if (step < 2 || step == 7) oracle_.expect(cat(name, ".", step), w.value.value());
    }
    return optimizer->slots("w");
  }
  template <class Kind, class Options>
  std::map<std::string, Tensor> steps(const std::string& name,
                                      const Shape& shape,
                                      double decay,
                                      const Options& options) {
    return run(name, shape, decay, [&](std::vector<ParameterGroup> groups) {
      return std::make_unique<Kind>(std::move(groups), options);
    });
  }
  void expect_state(const std::string& name, const std::map<std::string, Tensor>& slots) {
    for (const auto& [kind, slot] : slots) oracle_.expect(cat(name, ".", kind), slot);
  }
  Oracle oracle_{ESPALIER_ORACLES, "optimizers"};
};

TEST_F(OptimizersOracle, AllRules) {
  const Shape shape = {2, 3};
  const auto rmsprop = [&](const std::string& name, double decay, const RmsPropOptions& options) {
    expect_state(name, steps<RmsProp>(name, shape, decay, options));
  };
  rmsprop("rmsprop", 0.1, {.lr = 0.05, .alpha = 0.9});
  rmsprop("rmsprop_momentum", 0.0, {.lr = 0.05, .alpha = 0.9, .momentum = 0.8});
  rmsprop("rmsprop_centered", 0.0, {.lr = 0.05, .alpha = 0.9, .centered = true});
  rmsprop("rmsprop_both", 0.1, {.lr = 0.05, .alpha = 0.9, .momentum = 0.8, .centered = true});
  expect_state("adagrad", steps<Adagrad>("adagrad", shape, 0.1, AdagradOptions{.lr = 0.05}));
  steps<Adagrad>("adagrad_decay",
                 shape,
                 0.0,
                 AdagradOptions{.lr = 0.05, .lr_decay = 0.1, .initial_square = 0.3});
  steps<Muon>("muon_wide", {3, 5}, 0.1, MuonOptions{.lr = 0.05, .momentum = 0.9});
  steps<Muon>(
      "muon_tall", {6, 2}, 0.0, MuonOptions{.lr = 0.05, .momentum = 0.9, .nesterov = false});
  steps<Muon>("muon_adam",
              {4, 4},
              0.1,
              MuonOptions{.lr = 0.05, .momentum = 0.9, .scale = MuonScale::MatchAdam});
  oracle_.expect_all_used();
}

// The largest distance of X X^T (or of X^T X, if that is smaller) from a diagonal of ones.
double from_orthogonal(const Tensor& x) {
  const bool tall = x.size(0) > x.size(1);
  const Tensor rows = (tall ? x.transpose(0, 1) : x).contiguous();
  double worst = 0.0;
  for (int64_t i = 0; i < rows.size(0); ++i) {
    for (int64_t j = 0; j < rows.size(0); ++j) {
      double sum = 0.0;
      for (int64_t k = 0; k < rows.size(1); ++k) sum += rows.at({i, k}) * rows.at({j, k});
      worst = std::max(worst, std::abs(sum - (i == j ? 1.0 : 0.0)));
    }
  }
  return worst;
}

TEST(Orthogonalized, IsNearlyOrthogonalWhateverItsSizeAndShape) {
  for (const Shape& shape : {Shape{5, 12}, {12, 5}, {8, 8}, {1, 6}}) {
    for (const double size : {1e-3, 1.0, 1e4}) {
      const Tensor x = orthogonalized(random_tensor(shape, 3, DType::F64) * size);
      EXPECT_EQ(x.shape(), shape);
      EXPECT_LT(from_orthogonal(x), 0.6) << shape.str();  // singular values 0.68 to 1.13
    }
  }
  EXPECT_EQ(orthogonalized(Tensor::zeros({2, 3})).to_vector<float>(), std::vector<float>(6, 0.0f));
  EXPECT_THROW(orthogonalized(Tensor::ones({3})), ShapeError);
}

TEST(Orthogonalized, HasTheSameBitsOnAnyNumberOfThreads) {
  const Tensor matrix = random_tensor({150, 700}, 5);
  Tensor expected;
  for (const int threads : {1, 2, 7}) {
    set_num_threads(threads);
    const Tensor x = orthogonalized(matrix);
    if (!expected.defined()) expected = x;
    EXPECT_TRUE(equal(x, expected)) << threads;
  }
  set_num_threads(0);
}

TEST(Muon, MovesFiltersAsMatricesAndTheRestByItsOwnRule) {
  Sequential net;
  net.add("conv", Conv2d({.in_channels = 2, .out_channels = 4, .kernel = 3}));
  net.add("fc", Linear({.in = 4, .out = 3}));
  const auto before = deep_copy(net.state_dict());
  set_gradients(net, 1);
  Muon muon(net,
            {.lr = 0.1,
             .momentum = 0.5,
             .nesterov = false,
             .rest = SgdOptions{.lr = 0.2},
             .rest_names = {"fc.*"}});
  const auto step_of = [&](const std::string& name) {
    return before.at(name) - net.parameter(name).value.value();
  };
  const Tensor gradient = net.parameter("conv.weight").value.grad().value();
  muon.step();
  EXPECT_TRUE(all_close(step_of("conv.weight").reshape({4, 18}),
                        orthogonalized(gradient.reshape({4, 18})) * 0.1,
                        {.rtol = 1e-4, .atol = 1e-6}));
  for (const char* name : {"conv.bias", "fc.weight", "fc.bias"}) {
    EXPECT_TRUE(all_close(step_of(name),
                          net.parameter(name).value.grad().value() * 0.2,
                          {.rtol = 1e-4, .atol = 1e-6}))
        << name;
  }
  EXPECT_EQ(muon.slots("conv.weight").size(), 1u);
  EXPECT_EQ(muon.slots("fc.weight").size(), 0u);
  muon.set_lr(0.05);  // half: the rest's is halved too
  const auto middle = deep_copy(net.state_dict());
  muon.step();
  EXPECT_TRUE(all_close(middle.at("fc.bias") - net.parameter("fc.bias").value.value(),
                        net.parameter("fc.bias").value.grad().value() * 0.1,
                        {.rtol = 1e-4, .atol = 1e-6}));
}

TEST(Muon, OrthogonalizesWhatIsKept) {
  Linear masked({.in = 7, .out = 5, .bias = false});
  masked.weight.set_mask(two_thirds_mask({5, 7}));
  const Tensor before = masked.weight.value.value().clone();
  set_gradients(masked, 1);
  const Tensor mask = masked.weight.mask().to(DType::F32);
  const Tensor kept = masked.weight.value.grad().value() * mask;
  Muon muon(masked, {.lr = 0.1, .scale = MuonScale::None});
  muon.step();
  EXPECT_TRUE(all_close(before - masked.weight.value.value(),
                        orthogonalized(kept) * mask * 0.1,
                        {.rtol = 1e-4, .atol = 1e-6}));
}

TEST(Muon, AMaskThatKeepsAllIsNone) {
  Linear dense({.in = 7, .out = 5, .bias = false});
  const auto copy = dense.clone();
  auto& masked = dynamic_cast<Linear&>(*copy);
  masked.weight.set_mask(Tensor::ones({5, 7}, DType::U8));
  Muon a(dense, {}, 0.1);
  Muon b(masked, {}, 0.1);
  for (uint64_t step = 0; step < 3; ++step) {
    set_gradients(dense, step);
    set_gradients(masked, step);
    a.step();
    b.step();
  }
  EXPECT_TRUE(equal(dense.weight.value.value(), masked.weight.value.value()));
}

TEST(Muon, NormalizedWeightsHaveTheNormOfAnOrthogonalMatrix) {
  Linear layer({.in = 7, .out = 4, .bias = false});
  layer.weight.set_mask(two_thirds_mask({4, 7}));
  layer.weight.value.set_grad(Variable(Tensor::zeros({4, 7})));
  Muon muon(layer, {.normalize_weights = true});
  muon.step();
  double squares = 0.0;
  for (const double w : values(layer.weight.value.value())) squares += w * w;
  EXPECT_NEAR(squares, 4.0, 1e-5);
}

TEST(Muon, WrongSettingsAreErrors) {
  Linear layer({.in = 2, .out = 2});
  EXPECT_THROW(Muon(layer, {.lr = 0.0}), ValueError);
  EXPECT_THROW(Muon(layer, {.momentum = 1.0}), ValueError);
  EXPECT_THROW(Muon(layer, {.iterations = 0}), ValueError);
  EXPECT_THROW(Muon(layer, {.rest = SgdOptions{.momentum = 2.0}}), ValueError);
  EXPECT_THROW(Muon(layer, {.rest_names = {"head.*"}}), ValueError);
}

TEST(Lookahead, IsTheHandWorkedSequence) {
  Parameter w(Tensor::ones({1}, DType::F64));
  const std::vector<ParameterGroup> groups = {{.parameters = {{"w", &w}}}};
  Lookahead optimizer(std::make_unique<Sgd>(groups, SgdOptions{.lr = 0.1}),
                      {.every = 2, .alpha = 0.25});
  const auto after = [&](double gradient) {
    w.value.set_grad(Variable(Tensor::full({1}, gradient, DType::F64)));
    optimizer.step();
    return w.value.item();
  };
  EXPECT_DOUBLE_EQ(after(1.0), 0.9);
  EXPECT_DOUBLE_EQ(after(1.0), 1.0 + 0.25 * (0.8 - 1.0));  // 0.95, slow and fast
  EXPECT_DOUBLE_EQ(after(-1.0), 1.05);
  EXPECT_DOUBLE_EQ(after(-1.0), 0.95 + 0.25 * (1.15 - 0.95));
  optimizer.set_lr(1.0);
  EXPECT_DOUBLE_EQ(after(1.0), 0.0);
  EXPECT_EQ(optimizer.state_dict().count("w.slow"), 1u);
}

TEST(Lookahead, WrongSettingsAreErrors) {
  Linear layer({.in = 2, .out = 2});
  const auto sgd = [&] { return std::make_unique<Sgd>(layer, SgdOptions{.momentum = 0.9}); };
  EXPECT_THROW(Lookahead(nullptr), ValueError);
  EXPECT_THROW(Lookahead(sgd(), {.every = 0}), ValueError);
  EXPECT_THROW(Lookahead(sgd(), {.alpha = 1.5}), ValueError);
  auto used = sgd();
  set_gradients(layer, 1);
  used->step();
  EXPECT_THROW(Lookahead(std::move(used)), ValueError);
}

TEST(RmsPropAndAdagrad, WrongSettingsAreErrors) {
  Linear layer({.in = 2, .out = 2});
  EXPECT_THROW(RmsProp(layer, {.alpha = 1.0}), ValueError);
  EXPECT_THROW(RmsProp(layer, {.eps = 0.0}), ValueError);
  EXPECT_THROW(RmsProp(layer, {.momentum = 1.0}), ValueError);
  EXPECT_THROW(Adagrad(layer, {.lr_decay = -1.0}), ValueError);
  EXPECT_THROW(Adagrad(layer, {.initial_square = -1.0}), ValueError);
  EXPECT_THROW(Adagrad(layer, {.eps = 0.0}), ValueError);
}

}  // namespace
}  // namespace espalier::nn
