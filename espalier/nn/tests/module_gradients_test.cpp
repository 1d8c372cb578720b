// SPDX-License-Identifier: Apache-2.0
// First and second derivatives of every layer, by input and parameters, against differences, and
// those of activations where they have kinks, against PyTorch's (autograd/tests/oracles).
#include <limits>

#include <espalier/autograd/derivative/gradcheck.h>
#include <espalier/autograd/ops.h>
#include <espalier/nn/train/distillation.h>
#include <espalier/nn/train/sgd.h>

#include "layer_cases.h"

namespace espalier::nn {
namespace {

using Values = std::vector<double>;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class EachLayersGradient : public ::testing::TestWithParam<LayerCase> {
 protected:
  // The layer as a function of its input and its parameters, in float64.
  EachLayersGradient() : layer_(GetParam().make()) {
    init_parameters(*layer_, 3);
    layer_->to(DType::F64);
    // A dropout that draws anew at each call is no function.
    layer_->train(GetParam().name != "Dropout");
    inputs_.push_back(random_tensor(GetParam().sample.inserted(0, 2), 5, DType::F64));
    for (const NamedParameter& p : layer_->named_parameters()) {
      inputs_.push_back(p.parameter->value.value());
    }
  }
  VariableFn function() {
    return [this](const std::vector<Variable>& in) {
      size_t i = 1;
      // What a mask removed is zero whatever it is set to, so that differences see its gradient, 0.
      for (const NamedParameter& p : layer_->named_parameters()) {
        const Variable& given = in[i++];
        const bool masked = p.parameter->masked();
        p.parameter->value = masked ? given * Variable(p.parameter->mask().to(DType::F64)) : given;
      }
      return (*layer_)(in[0]);
    };
  }
  std::unique_ptr<Module> layer_;
  std::vector<Tensor> inputs_;
};

INSTANTIATE_TEST_SUITE_P(,
                         EachLayersGradient,
                         ::testing::ValuesIn(layer_cases()),
                         [](const auto& info) { return info.param.name; });

TEST_P(EachLayersGradient, MatchesDifferences) {
  EXPECT_EQ(gradcheck(function(), inputs_), "");
}

TEST_P(EachLayersGradient, OfTheGradientMatchesDifferences) {
  EXPECT_EQ(gradgradcheck(function(), inputs_), "");
}

TEST(Losses, DistillationMatchesDifferences) {
  const Tensor labels = Tensor::from<int64_t>({3}, {0, 2, 1});
  const Variable teacher(random_tensor({3, 4}, 2, DType::F64));
  const VariableFn loss = [&](const std::vector<Variable>& in) {
    return distillation_loss(in[0], teacher, labels, {.temperature = 2.0, .weight = 0.7}, 0.1);
  };
  const std::vector<Tensor> student = {random_tensor({3, 4}, 3, DType::F64)};
  EXPECT_EQ(gradcheck(loss, student), "");
  EXPECT_EQ(gradgradcheck(loss, student), "");
}

struct Kink {
  std::string name;
  std::vector<Values> inputs;
  double incoming;
  Values value;
  std::vector<Values> gradients;
};

const std::vector<Kink>& kinks() {
  static const std::vector<Kink> list = {
#include "../../autograd/tests/oracles/kinks.inc"
  };
  return list;
}

void expect_same(const Values& actual, const Values& expected, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(actual[i])) << what << ", element " << i;
    } else if (std::isinf(expected[i])) {
      EXPECT_EQ(actual[i], expected[i]) << what << ", element " << i;
    } else {
      EXPECT_NEAR(actual[i], expected[i], 1e-14 * (1.0 + std::abs(expected[i])))
          << what << ", element " << i;
    }
  }
}

TEST(Activations, HavePyTorchsGradientsAtKinksAndInfinities) {
  std::map<std::string, std::shared_ptr<Module>> modules = {
      {"relu", std::make_shared<ReLU>()},
      {"leaky_relu", std::make_shared<LeakyReLU>(0.1)},
      {"leaky_relu falling", std::make_shared<LeakyReLU>(-0.5)},
      {"gelu", std::make_shared<GELU>()},
      {"silu", std::make_shared<SiLU>()},
      {"sigmoid", std::make_shared<Sigmoid>()},
      {"tanh", std::make_shared<Tanh>()},
      {"softplus", std::make_shared<Softplus>()}};
  std::map<std::string, int> seen;
  for (const Kink& kink : kinks()) {
    const auto found = modules.find(kink.name);
    if (found == modules.end()) continue;
    ++seen[kink.name];
    const auto n = static_cast<int64_t>(kink.inputs[0].size());
    const Variable x(Tensor::from({n}, kink.inputs[0]), true);
    const Variable y = (*found->second)(x);
    const Variable incoming(Tensor::full_like(y.value(), kink.incoming));
    expect_same(values(y.value()), kink.value, kink.name);
    expect_same(values(grad({y}, {x}, {.grad_outputs = {incoming}})[0].value()),
                kink.gradients[0],
                kink.name);
  }
  EXPECT_EQ(seen.size(), modules.size());
}

// --- values that change while a graph lives ------------------------------------------------------

// What the backward pass of `loss` says; empty when there is nothing wrong.
std::string said_by_backward(const Variable& loss) {
  try {
    loss.backward();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(ChangedInPlace, AStepBetweenTwoBackwardPassesOfOneGraphIsNamed) {
  Sequential net(Linear({.in = 3, .out = 4}), Linear({.in = 4, .out = 2}));
  init_parameters(net, 3);
  Sgd sgd(net, {.lr = 0.1});
  const Variable loss = sum(net(Variable(random_tensor({5, 3}, 1))));
  loss.backward({}, true);
  loss.backward({}, true);  // nothing changed yet
  sgd.step();
  const std::string text = said_by_backward(loss);
  EXPECT_NE(text.find("backward of `linear`"), std::string::npos) << text;
  EXPECT_NE(text.find("changed in place"), std::string::npos) << text;
}

TEST(ChangedInPlace, AMaskAndALoadedStateAreNamed) {
  for (const bool load : {false, true}) {
    Sequential net(Linear({.in = 3, .out = 4}), Linear({.in = 4, .out = 6}));
    init_parameters(net, 3);
    const auto other = deep_copy(net.state_dict());
    init_parameters(net, 4);
    const Variable loss = sum(net(Variable(random_tensor({5, 3}, 1))));
    if (load) {
      net.load_state_dict(other);
    } else {
      net.named_parameters()[2].parameter->set_mask(two_thirds_mask({6, 4}));
    }
    EXPECT_NE(said_by_backward(loss).find("changed in place"), std::string::npos);
  }
}

TEST(ChangedInPlace, RunningStatisticsMayMoveWhileAGraphLives) {
  BatchNorm2d norm({.channels = 2});
  const Tensor x = random_tensor({4, 2, 3, 3}, 1);
  const Variable first(x, true);
  const Variable y = norm(first);
  norm(Variable(random_tensor({4, 2, 3, 3}, 2)));
  const Variable loss = sum(y * y);
  EXPECT_EQ(said_by_backward(loss), "");
  EXPECT_TRUE(first.grad().defined());
}

}  // namespace
}  // namespace espalier::nn
