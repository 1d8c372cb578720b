// SPDX-License-Identifier: Apache-2.0
/// SR-STE: the hand-worked example, what the model looks like between steps, and the traps. That N
/// = M is dense training can't be asked for: a pattern that removes nothing is refused
/// (pattern_test.cpp).
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/nn/forms/straight_through.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/introspect/explain.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/scores/gradients.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::tiny_conv_net;
using testing::tiny_loader;

constexpr double kTolerance = 1e-6;

std::unique_ptr<Pruner> sr_ste(const std::map<std::string, std::string>& options = {}) {
  return make_pruner("sr-ste", parse_settings(method("sr-ste"), options));
}

/// What a layer's form chooses now.
std::shared_ptr<const sparse::Support> chosen(nn::Module& net, const std::string& weight) {
  return nn::form_site(net, weight).form()->support(net.parameter(weight));
}

std::vector<int> mask_of(nn::Module& net, const std::string& weight) {
  return chosen(net, weight)->mask().to_vector<int>();
}

void expect_values(const nn::Parameter& parameter, const std::vector<double>& expected) {
  const auto got = parameter.value.value().to_vector<double>();
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], kTolerance) << i;
}

/// A forward and a backward pass in which dL/de is `gradient` at every weight of the only layer.
Variable pass(nn::Module& net, double gradient) {
  net.zero_grad();
  const Variable y = net(Variable(Tensor::full({1, 4}, gradient)));
  y.backward();
  return y;
}

TEST(SrSte, MatchesTheHandWorkedExample) {
  // w = (4,-3,2,1), 2:4, G = 0.1: the gradient is (0.1, 0.1, 0.1004, 0.1002), on all of w.
  auto net = linear_chain({{{1, 4}, {4, -3, 2, 1}}});
  nn::Parameter& weight = net->parameter("0.weight");
  nn::Sgd sgd(*net, {.lr = 1.0});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  auto hook = sr_ste();
  hook->before_training(state);
  EXPECT_EQ(mask_of(*net, "0.weight"), (std::vector<int>{1, 1, 0, 0}));

  hook->before_step(state);
  EXPECT_NEAR(pass(*net, 0.1).item(), 0.1 * (4 - 3), kTolerance);
  hook->after_backward(state);
  const auto gradient = weight.value.grad().value().to_vector<double>();
  const double expected[] = {0.1, 0.1, 0.1004, 0.1002};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(gradient[i], expected[i], kTolerance);

  sgd.step();
  hook->after_step(state);
  EXPECT_EQ(mask_of(*net, "0.weight"), (std::vector<int>{1, 1, 0, 0}));
  expect_values(weight, {3.9, -3.1, 1.8996, 0.8998});
}

/// One step of plain descent with the given gradient.
void step(nn::Module& net, Pruner& hook, nn::Optimizer& sgd, double gradient) {
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 10};
  hook.before_step(state);
  pass(net, gradient);
  hook.after_backward(state);
  sgd.step();
  hook.after_step(state);
}

TEST(SrSte, TheMaskFollowsTheWeightsAndFlipsAreCounted) {
  // A weight that is out comes back with the value that it has reached in the meantime.
  auto net = linear_chain({{{1, 4}, {-1, 0.9F, 2, 0}}});
  nn::Sgd sgd(*net, {.lr = 1.0});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10, .steps_per_epoch = 2};
  auto hook = sr_ste({{"sparse-decay", "0"}});
  hook->before_training(state);
  EXPECT_EQ(hook->updates().front().layers[0].kept, 2);
  EXPECT_EQ(mask_of(*net, "0.weight"), (std::vector<int>{1, 0, 1, 0}));
  step(*net, *hook, sgd, -0.2);  // -0.8, 1.1, 2.2, 0.2
  EXPECT_EQ(mask_of(*net, "0.weight"), (std::vector<int>{0, 1, 1, 0}));
  EXPECT_NEAR(net->parameter("0.weight").value.value().at({0, 1}), 1.1, kTolerance);
  step(*net, *hook, sgd, 0.2);
  EXPECT_EQ(mask_of(*net, "0.weight"), (std::vector<int>{1, 0, 1, 0}));
  state.step = 2;
  hook->end_of_epoch(state);
  EXPECT_EQ(hook->updates().back().layers[0].changed, 4);
}

TEST(SrSte, WithoutDecayItIsStraightThrough) {
  // w <- w - lr G(e), G the gradient of the sparse network at all weights.
  auto net = tiny_conv_net();
  auto reference = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.1});
  auto loader = tiny_loader();
  auto hook = sr_ste({{"sparse-decay", "0"}});
  const std::vector<double> initial =
      reference->parameter("3.weight").value.value().to_vector<double>();
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 4};
  hook->before_training(state);
  for (const char* name : {"3.weight", "7.weight"}) {
    reference->parameter(name).set_support(chosen(*net, name));
  }
  const data::Batch batch = batches_like(*loader)(0);
  const PruneInputs inputs;
  const std::vector<nn::NamedParameter> weights = prunable_weights(*reference);
  Rng rng(1);
  const auto gradients =
      dense_gradients({*reference, weights, inputs, rng}, batch, ScoringMode::Train);

  hook->before_step(state);
  cross_entropy((*net)(Variable(batch.images)), batch.labels).backward();
  hook->after_backward(state);
  sgd.step();
  hook->after_step(state);
  const auto dense = net->parameter("3.weight").value.value().to_vector<double>();
  for (size_t i = 0; i < dense.size(); ++i) {
    ASSERT_NEAR(dense[i],
                initial[i] - 0.1 * gradients[1].data<double>()[static_cast<int64_t>(i)],
                kTolerance);
  }
}

TEST(SrSte, WeightDecayActsOnAllWeights) {
  auto net = linear_chain({{{1, 4}, {4, -3, 2, 1}}});
  nn::Sgd sgd(*net, {.lr = 1.0}, 0.1);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  auto hook = sr_ste({{"sparse-decay", "0.2"}});
  hook->before_training(state);
  step(*net, *hook, sgd, 0.0);
  expect_values(net->parameter("0.weight"), {3.6, -2.7, 1.4, 0.7});
}

TEST(SrSte, LayersWhoseInputsDoNotFitStayDenseAndAreNamed) {
  // Trap: three input channels would put neighbouring taps into one group.
  auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9});
  auto loader = tiny_loader();
  auto hook = sr_ste({{"pattern", "1:4"}});
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {hook.get()}, {.epochs = 2});
  EXPECT_FALSE(net->parameter("0.weight").masked());
  ASSERT_EQ(hook->updates().front().notes.size(), 1U);
  EXPECT_NE(hook->updates().front().notes[0].find("0.weight"), std::string::npos);
  // Groups run along the input channels: of weight (16,8,3,3), 4 channels at one tap.
  const std::vector<int> mask = testing::mask_of(net->parameter("3.weight"));
  for (size_t o = 0; o < 16; ++o) {
    for (size_t i = 0; i < 8; i += 4) {
      for (size_t tap = 0; tap < 9; ++tap) {
        int kept = 0;
        for (size_t j = 0; j < 4; ++j) kept += mask[(o * 8 + i + j) * 9 + tap];
        ASSERT_EQ(kept, 1);
      }
    }
  }
  EXPECT_NE(net->parameter("7.bias").value.value().to_vector<float>(),
            tiny_conv_net()->parameter("7.bias").value.value().to_vector<float>());
}

/// Looks at the model between steps, as evaluations and checkpoints do.
class BetweenSteps : public nn::TrainHook {
 public:
  void after_step(nn::TrainState& state) override {
    ASSERT_EQ(2 * chosen(state.model, "3.weight")->nnz(), 16 * 8 * 9);
    ASSERT_TRUE(state.model.state_dict().contains("3.form.mask"));
    // The first convolution has three inputs.
    const nn::ModelCount count = nn::count_model(state.model, Shape{3, 8, 8});
    ASSERT_EQ(count.total.weights_nonzero, 8 * 3 * 9 + 16 * 8 * 9 / 2 + 3 * 1024 / 2);
    for (const nn::LayerExplanation& layer :
         nn::explain(state.model, Variable(Tensor::zeros({1, 3, 8, 8})))) {
      ASSERT_EQ(layer.density, layer.name == "0" ? 1.0 : 0.5) << layer.name;
    }
    ++steps;
  }
  int steps = 0;
};

TEST(SrSte, BetweenStepsTheNetworkIsSparseAndAfterwardsAPlainOne) {
  auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9});
  auto loader = tiny_loader();
  auto hook = sr_ste();
  BetweenSteps watcher;
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {hook.get(), &watcher}, {.epochs = 2});
  EXPECT_EQ(watcher.steps, 8);
  EXPECT_FALSE(nn::has_forms(*net));
  const nn::Parameter& weight = net->parameter("3.weight");
  EXPECT_EQ(weight.grad_request, sparse::GradRequest::Masked);
  EXPECT_EQ(2 * weight.nnz(), weight.numel());
  const std::vector<int> mask = testing::mask_of(weight);
  const auto values = weight.value.value().to_vector<float>();
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == 0) {
      ASSERT_EQ(values[i], 0.0F);
    }
  }
}

TEST(SrSte, AChoiceThatStaysKeepsThePatternAndWhatKernelsMadeOfIt) {
  auto net = linear_chain({{{1, 4}, {4, -3, 2, 1}}});
  nn::Sgd sgd(*net, {.lr = 1.0});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  auto hook = sr_ste();
  hook->before_training(state);
  const auto first = chosen(*net, "0.weight");
  int made = 0;
  const auto derive = [&] { return first->derived<int>({0}, [&] { return ++made; }); };
  derive();
  step(*net, *hook, sgd, 0.1);  // (3.9, -3.1, 1.9, 0.9): the same two stay
  EXPECT_EQ(chosen(*net, "0.weight"), first);
  derive();
  EXPECT_EQ(made, 1);
  step(*net, *hook, sgd, -2.0);  // (5.9, -1.1, 3.9, 2.9): now the first and the third
  EXPECT_NE(chosen(*net, "0.weight"), first);
  EXPECT_EQ(mask_of(*net, "0.weight"), (std::vector<int>{1, 0, 1, 0}));
}

// The form's zeros are skipped wherever a mask's would be: at 1:16 a sparse kernel runs.
TEST(SrSte, KernelsSkipInTrainingWhatTheySkipUnderAMask) {
  for (const int64_t of : {4, 16}) {
    nn::Sequential net, masked;
    for (nn::Sequential* one : {&net, &masked}) {
      one->add(nn::Conv2d({.in_channels = 32, .out_channels = 32, .padding = 1, .bias = false}));
      testing::randomize(*one, 4);
    }
    const Shape& shape = net.parameter("0.weight").shape();
    nn::put_form(net,
                 "0.weight",
                 std::make_shared<nn::StraightThrough>(
                     shape, nn::StraightThrough::Options{.pattern = {.keep = 1, .of = of}}));
    masked.parameter("0.weight").set_support(chosen(net, "0.weight"));
    const Variable x(Tensor::ones({32, 32, 8, 8}, DType::F32, Layout::Nchw16n));
    const auto macs = [&](nn::Module& one) {
      const MacCounter counter;
      one(x);
      return counter.macs();
    };
    EXPECT_EQ(macs(net), macs(masked)) << of;
    if (of == 16) {
      EXPECT_EQ(macs(net), shape.numel() / of * 32 * 8 * 8);
    }
  }
}

TEST(SrSte, GroupsOfOutputsShareTheirChoiceAlsoWhereTheLastIsSmaller) {
  auto net = linear_chain({{{6, 4}, std::vector<float>(24, 1.0F)}});
  Rng rng(5, "weights");
  fill_normal_(net->parameter("0.weight").value.value(), rng);
  auto hook = sr_ste({{"pattern", "2:4g4"}});
  hook->attach(*net);
  const std::vector<int> mask = mask_of(*net, "0.weight");
  for (size_t o = 0; o < 6; ++o) {
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(mask[o * 4 + i], mask[o / 4 * 16 + i]);
  }
}

TEST(SrSte, ASecondAttachGoesOnWithTheFormsThatAreThere) {
  auto net = linear_chain({{{1, 4}, {4, -3, 2, 1}}});
  auto hook = sr_ste();
  EXPECT_TRUE(hook->attach(*net).empty());
  const nn::Form* form = nn::form_site(*net, "0.weight").form();
  EXPECT_EQ(sr_ste()->attach(*net).size(), 1U);
  EXPECT_EQ(nn::form_site(*net, "0.weight").form(), form);
}

TEST(SrSte, RefusesWhatItCannotDo) {
  EXPECT_THROW(sr_ste({{"pattern", "unstructured"}}), ValueError);
  EXPECT_THROW(sr_ste({{"sparsity", "0.9"}}), ValueError);
  EXPECT_THROW(sr_ste({{"ablation", "shuffle"}}), NotImplemented);
  auto hook = sr_ste();
  auto net = linear_chain({{{1, 4}, {4, -3, 2, 1}}});
  nn::Sgd sgd(*net, {.lr = 1.0});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  EXPECT_THROW(hook->load_state({}), ValueError);
  hook->before_training(state);
  // A run that goes on where the network has no forms.
  auto plain = linear_chain({{{1, 4}, {4, -3, 2, 1}}});
  nn::Sgd other(*plain, {.lr = 1.0});
  nn::TrainState resumed{.model = *plain, .optimizer = other, .total_steps = 10};
  auto next = sr_ste();
  next->load_state(hook->state());
  EXPECT_THROW(next->before_step(resumed), ValueError);
}

}  // namespace
}  // namespace espalier::prune
