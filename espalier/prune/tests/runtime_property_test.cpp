// SPDX-License-Identifier: Apache-2.0
/// What every method that prunes at run time must do: gates learn, decide by the image alone, and
/// survive being killed.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/killed_run.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::restore;
using testing::SaveAt;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_mlp;

constexpr int64_t kEpochs = 3;

class EveryRuntimeMethod : public ::testing::TestWithParam<std::string> {
 protected:
  PruneInputs inputs() const { return {.input_shape = {3, 8, 8}, .seed = 4}; }
  PruneSettings settings() const {
    return parse_settings(method(GetParam()), {{"sparsity", "0.5"}});
  }
  std::unique_ptr<nn::Sequential> prepared(uint64_t seed = 3) const {
    auto net = tiny_conv_net(seed);
    make_pruner(GetParam(), settings(), inputs())->attach(*net);
    return net;
  }
  std::unique_ptr<Pruner> pruner() const { return make_pruner(GetParam(), settings(), inputs()); }
  nn::Sgd optimizer(nn::Module& net) const {
    return nn::Sgd(net, {.lr = 0.02, .momentum = 0.9}, 1e-2);
  }
  void train(nn::Module& net,
             nn::Optimizer& optimizer,
             const std::vector<nn::TrainHook*>& hooks,
             std::optional<nn::TrainProgress> resume = {}) const {
    auto loader = tiny_loader();
    nn::fit(net,
            optimizer,
            nn::ConstantLr(0.02),
            *loader,
            hooks,
            {.epochs = kEpochs, .resume = std::move(resume)});
  }
};

std::vector<std::string> runtime_methods() {
  std::vector<std::string> out;
  for (const Method& method : methods()) {
    if (method.when == When::Runtime) out.push_back(method.name);
  }
  return out;
}

TEST_P(EveryRuntimeMethod, GatesHaveGradientsAndLearn) {
  // Without all that moves gates beside the task: decay, and the methods' own penalties.
  std::map<std::string, std::string> given = {{"sparsity", "0.5"}};
  for (const Option& option : method(GetParam()).options) {
    if (option.name == "lasso" || option.name == "threshold-price") given[option.name] = "0";
  }
  ASSERT_EQ(given.size(), 2U) << "name this method's penalty above";
  const PruneSettings unpriced = parse_settings(method(GetParam()), given);
  auto net = tiny_conv_net();
  make_pruner(GetParam(), unpriced, inputs())->attach(*net);
  nn::Sgd sgd(*net, {.lr = 0.02, .momentum = 0.9}, 0.0);
  auto hook = make_pruner(GetParam(), unpriced, inputs());
  std::map<std::string, std::vector<double>> before;
  for (const nn::GatedLayer& one : nn::gated_layers(*net)) {
    for (const nn::NamedParameter& p : one.gate->named_parameters()) {
      before[one.name + p.name] = p.parameter->value.value().to_vector<double>();
    }
  }
  ASSERT_FALSE(before.empty());
  train(*net, sgd, {hook.get()});
  for (const nn::GatedLayer& one : nn::gated_layers(*net)) {
    for (const nn::NamedParameter& p : one.gate->named_parameters()) {
      EXPECT_NE(p.parameter->value.value().to_vector<double>(), before.at(one.name + p.name));
    }
  }
}

TEST_P(EveryRuntimeMethod, RemovesNoWeight) {
  auto net = prepared();
  auto sgd = optimizer(*net);
  auto hook = pruner();
  train(*net, sgd, {hook.get()});
  for (const nn::NamedParameter& p : net->named_parameters()) {
    EXPECT_FALSE(p.parameter->masked()) << p.name;
  }
}

TEST_P(EveryRuntimeMethod, AKilledRunEndsWithTheSameBits) {
  auto net = prepared();
  auto sgd = optimizer(*net);
  auto hook = pruner();
  SaveAt save(5, *hook);
  train(*net, sgd, {hook.get(), &save});

  auto resumed = prepared(77);
  auto sgd2 = optimizer(*resumed);
  auto hook2 = pruner();
  restore(save.saved, *resumed, sgd2, *hook2);
  train(*resumed, sgd2, {hook2.get()}, save.saved.progress);

  const auto a = net->state_dict();
  const auto b = resumed->state_dict();
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    EXPECT_EQ(tensor.to_vector<double>(), b.at(name).to_vector<double>()) << name;
  }
}

TEST_P(EveryRuntimeMethod, AnUnpreparedNetworkIsAnError) {
  auto net = tiny_conv_net();
  auto sgd = optimizer(*net);
  auto hook = pruner();
  EXPECT_THROW(train(*net, sgd, {hook.get()}), ValueError);
}

TEST_P(EveryRuntimeMethod, PreparesOnceAndLeavesExcludedLayersAlone) {
  auto net = prepared();
  const size_t gates = nn::gated_layers(*net).size();
  EXPECT_EQ(make_pruner(GetParam(), settings(), inputs())->attach(*net).size(), 1u);
  EXPECT_EQ(nn::gated_layers(*net).size(), gates);

  PruneSettings without = settings();
  without.exclude = {"3"};
  auto other = tiny_conv_net();
  EXPECT_THROW(make_pruner(GetParam(), without, inputs())->attach(*other), ValueError);
  auto mlp = tiny_mlp();
  EXPECT_THROW(make_pruner(GetParam(), settings(), inputs())->attach(*mlp), ValueError);
  PruneSettings ablated = settings();
  ablated.ablation = Ablation::Shuffle;
  EXPECT_THROW(make_pruner(GetParam(), ablated, inputs())->attach(*other), NotImplemented);
}

INSTANTIATE_TEST_SUITE_P(Registry,
                         EveryRuntimeMethod,
                         ::testing::ValuesIn(runtime_methods()),
                         [](const auto& info) { return info.param; });

/// Calls the hook as `fit` would at a step of 100.
template <class Call>
void at_step(nn::Module& net, nn::Optimizer& optimizer, int64_t step, Call call) {
  nn::TrainState state{.model = net, .optimizer = optimizer, .step = step, .total_steps = 100};
  call(state);
}

TEST(Fbs, DensityFallsLinearlyToItsEnd) {
  auto net = tiny_conv_net();
  const PruneSettings settings = parse_settings(method("fbs"), {{"sparsity", "0.7"}});
  const PruneInputs inputs = {.input_shape = {3, 8, 8}};
  make_pruner("fbs", settings, inputs)->attach(*net);
  auto* gate = dynamic_cast<nn::Saliency*>(nn::gated_layers(*net).front().decision);
  nn::Sgd sgd(*net, {}, 0.0);
  const auto hook = make_pruner("fbs", settings, inputs);
  // ceil((1 - 0.7 * min(1, step/50)) * 16); 0.3 * 16 = 4.8.
  for (const auto& [step, kept] :
       std::map<int64_t, int64_t>{{0, 16}, {25, 11}, {49, 6}, {50, 5}, {99, 5}}) {
    at_step(*net, sgd, step, [&](nn::TrainState& state) { hook->before_step(state); });
    EXPECT_EQ(gate->kept(), kept) << step;
  }
}

TEST(Fbs, PenaltyIsTheMeanOverImagesOfAllSaliencies) {
  auto net = tiny_conv_net();
  const PruneSettings settings =
      parse_settings(method("fbs"), {{"lasso", "0.25"}, {"predictor-std", "0"}});
  const PruneInputs inputs = {.input_shape = {3, 8, 8}};
  make_pruner("fbs", settings, inputs)->attach(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  const auto hook = make_pruner("fbs", settings, inputs);
  (*net)(Variable(Tensor::ones({4, 3, 8, 8})));
  at_step(*net, sgd, 0, [&](nn::TrainState& state) {
    hook->before_step(state);
    EXPECT_NEAR(hook->penalty(state).item(), 0.25 * 16, 1e-6);  // phi = 0: every g is 1
  });
}

TEST(Cgnet, PenaltyDrawsThresholdsToTheTargetOfTheShare) {
  auto net = tiny_conv_net();
  // P(normal < 1) = 0.841344746; thresholds start at 0.
  const PruneSettings settings = parse_settings(method("cgnet"), {{"sparsity", "0.841344746"}});
  const PruneInputs inputs = {.input_shape = {3, 8, 8}};
  make_pruner("cgnet", settings, inputs)->attach(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  const auto hook = make_pruner("cgnet", settings, inputs);
  at_step(*net, sgd, 0, [&](nn::TrainState& state) {
    hook->before_step(state);
    const Variable penalty = hook->penalty(state);
    EXPECT_NEAR(penalty.item(), 1e-4 * 16, 1e-9);
    penalty.backward();
  });
  const auto* gate = dynamic_cast<nn::PartialSum*>(nn::gated_layers(*net).front().decision);
  EXPECT_NEAR(gate->threshold.value.grad().value().at({3}), -2e-4, 1e-9);
}

TEST(Cgnet, ThresholdsCanStartAtTheTarget) {
  auto net = tiny_conv_net();
  const PruneSettings settings =
      parse_settings(method("cgnet"), {{"sparsity", "0.841344746"}, {"threshold-start", "target"}});
  make_pruner("cgnet", settings, {.input_shape = {3, 8, 8}})->attach(*net);
  const auto* gate = dynamic_cast<nn::PartialSum*>(nn::gated_layers(*net).front().decision);
  EXPECT_NEAR(gate->threshold.value.value().at({15}), 1.0, 1e-6);
}

TEST(Cgnet, LayersThatCannotBeCutAreTold) {
  auto net = tiny_conv_net();
  const PruneSettings settings = parse_settings(method("cgnet"), {{"parts", "3"}});
  try {
    make_pruner("cgnet", settings, {.input_shape = {3, 8, 8}})->attach(*net);
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("can't be cut into 3"), std::string::npos);
  }
}

}  // namespace
}  // namespace espalier::prune
