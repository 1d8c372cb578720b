// SPDX-License-Identifier: Apache-2.0
/// What every method that prunes at run time must do: gates learn, decide by the image alone, and
/// survive being killed.
#include <algorithm>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/nn/forms/kinds.h>
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
using testing::tiny_residual_net;

constexpr int64_t kEpochs = 3;
constexpr double kTolerance = 1e-3;  // of logits, whose sums are in another order

class EveryRuntimeMethod : public ::testing::TestWithParam<std::string> {
 protected:
  PruneInputs inputs() const { return {.input_shape = {3, 8, 8}, .seed = 4}; }
  PruneSettings settings() const {
    return parse_settings(method(GetParam()), {{"sparsity", "0.5"}});
  }
  std::unique_ptr<nn::Sequential> prepared(uint64_t seed = 3) const {
    auto net = tiny_residual_net(seed);
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

std::map<std::string, std::vector<double>> gate_values(nn::Module& net) {
  std::map<std::string, std::vector<double>> out;
  for (const nn::PlacedGate& one : nn::placed_gates(net)) {
    for (const nn::NamedParameter& p : one.part->named_parameters()) {
      out[one.name + "." + p.name] = p.parameter->value.value().to_vector<double>();
    }
  }
  return out;
}

/// Gates' parameters with a gradient, and all of them.
std::pair<int, int> with_gradient(nn::Module& net) {
  std::pair<int, int> counts = {0, 0};
  for (const nn::PlacedGate& one : nn::placed_gates(net)) {
    for (const nn::NamedParameter& p : one.part->named_parameters()) {
      counts.first += p.parameter->value.grad().defined() ? 1 : 0;
      ++counts.second;
    }
  }
  return counts;
}

// From the loss alone, without the methods' own penalties; or, where gates are taught by what the
// layers compute, from the penalty alone.
TEST_P(EveryRuntimeMethod, GatesHaveGradients) {
  auto net = prepared();
  auto sgd = optimizer(*net);
  auto loader = tiny_loader();
  loader->start_epoch(0);
  const data::Batch batch = *loader->next();
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10, .loader = loader.get()};
  auto hook = pruner();
  net->train();
  hook->before_training(state);
  hook->before_step(state);
  state.logits = (*net)(Variable(batch.images));
  state.labels = batch.labels;
  cross_entropy(state.logits, batch.labels).backward();
  ASSERT_FALSE(nn::placed_gates(*net).empty());
  if (const auto [some, all] = with_gradient(*net); some != all) {
    EXPECT_EQ(some, 0) << "of " << all;
    hook->penalty(state).backward();
  }
  for (const nn::PlacedGate& one : nn::placed_gates(*net)) {
    for (const nn::NamedParameter& p : one.part->named_parameters()) {
      const Variable gradient = p.parameter->value.grad();
      ASSERT_TRUE(gradient.defined()) << one.name << "." << p.name;
      EXPECT_GT(sum(abs(gradient)).item(), 0.0) << one.name << "." << p.name;
    }
  }
}

TEST_P(EveryRuntimeMethod, GatesLearn) {
  auto net = prepared();
  const auto before = gate_values(*net);
  auto sgd = optimizer(*net);
  auto hook = pruner();
  train(*net, sgd, {hook.get()});
  for (const auto& [name, values] : gate_values(*net)) EXPECT_NE(values, before.at(name)) << name;
}

// Decided for every image alone; what is left out and what is multiplied by zero are the same.
TEST_P(EveryRuntimeMethod, ImagesDecideForThemselvesAndSkippingChangesNoResult) {
  auto net = prepared();
  auto sgd = optimizer(*net);
  auto hook = pruner();
  train(*net, sgd, {hook.get()});
  auto loader = tiny_loader();
  loader->start_epoch(0);
  const Tensor images = loader->next()->images.to(Layout::Nchw);
  net->eval();
  const std::vector<double> masked = (*net)(Variable(images)).value().to_vector<double>();
  const NoGrad no_grad;
  const std::vector<double> skipped = (*net)(Variable(images)).value().to_vector<double>();
  ASSERT_EQ(skipped.size(), masked.size());
  for (size_t i = 0; i < masked.size(); ++i) EXPECT_NEAR(skipped[i], masked[i], kTolerance) << i;
  for (int64_t n = 0; n < images.size(0); ++n) {
    const Tensor one = images.slice(0, n, n + 1).clone();
    const std::vector<double> alone = (*net)(Variable(one)).value().to_vector<double>();
    for (size_t i = 0; i < alone.size(); ++i) {
      const size_t at = static_cast<size_t>(n) * alone.size() + i;
      EXPECT_NEAR(alone[i], skipped[at], kTolerance) << n;
    }
  }
}

TEST_P(EveryRuntimeMethod, ARestoredNetworkGivesAndCostsTheSame) {
  auto net = prepared();
  auto sgd = optimizer(*net);
  auto hook = pruner();
  train(*net, sgd, {hook.get()});
  auto other = tiny_residual_net(99);
  nn::restore_forms(*other, nn::describe_forms(*net));
  other->load_state_dict(net->state_dict());
  auto loader = tiny_loader();
  loader->start_epoch(0);
  const Variable images(loader->next()->images.to(Layout::Nchw));
  net->eval();
  other->eval();
  const NoGrad no_grad;
  const MacCounter first;
  const std::vector<double> expected = (*net)(images).value().to_vector<double>();
  const int64_t macs = first.macs();
  const MacCounter second;
  EXPECT_EQ((*other)(images).value().to_vector<double>(), expected);
  EXPECT_EQ(second.macs(), macs);
  EXPECT_GT(macs, 0);
}

// Gates skip among what is left: they are no way around the masks.
TEST_P(EveryRuntimeMethod, OnAPrunedNetworkRemovedWeightsAreNotMultiplied) {
  const auto executed = [&](double sparsity) {
    auto net = tiny_residual_net(3);
    const Method& magnitude = method("magnitude");
    const OptionTexts texts = {{"sparsity", cat(sparsity)}, {"allocation", "uniform"}};
    make_pruner("magnitude", parse_settings(magnitude, texts), inputs())
        ->prune(*net, nullptr, Sparsity(sparsity));
    make_pruner(GetParam(), settings(), inputs())->attach(*net);
    auto loader = tiny_loader();
    loader->start_epoch(0);
    const Variable images(loader->next()->images.to(Layout::Nchw16n));
    net->eval();
    const NoGrad no_grad;
    const MacCounter counter;
    (*net)(images);
    return counter.macs();
  };
  EXPECT_LT(executed(0.9), executed(0.0) / 3);
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
  auto net = tiny_residual_net();
  auto sgd = optimizer(*net);
  auto hook = pruner();
  EXPECT_THROW(train(*net, sgd, {hook.get()}), ValueError);
}

TEST_P(EveryRuntimeMethod, PreparesOnceAndLeavesExcludedPlacesAlone) {
  auto net = prepared();
  const std::vector<nn::PlacedGate> gates = nn::placed_gates(*net);
  ASSERT_GE(gates.size(), 2U);
  EXPECT_EQ(make_pruner(GetParam(), settings(), inputs())->attach(*net).size(), 1U);
  EXPECT_EQ(nn::placed_gates(*net).size(), gates.size());

  PruneSettings without = settings();
  without.exclude = {gates.front().name};
  auto other = tiny_residual_net();
  make_pruner(GetParam(), without, inputs())->attach(*other);
  const std::vector<nn::PlacedGate> rest = nn::placed_gates(*other);
  ASSERT_EQ(rest.size(), gates.size() - 1);
  for (size_t i = 0; i < rest.size(); ++i) EXPECT_EQ(rest[i].name, gates[i + 1].name);

  for (const nn::PlacedGate& one : gates) without.exclude.push_back(one.name);
  auto bare = tiny_residual_net();
  EXPECT_THROW(make_pruner(GetParam(), without, inputs())->attach(*bare), ValueError);
  auto mlp = tiny_mlp();
  EXPECT_THROW(make_pruner(GetParam(), settings(), inputs())->attach(*mlp), ValueError);
  PruneSettings ablated = settings();
  ablated.ablation = Ablation::Shuffle;
  EXPECT_THROW(make_pruner(GetParam(), ablated, inputs())->attach(*bare), NotImplemented);
}

TEST_P(EveryRuntimeMethod, GatesOfAnotherMethodAreAnError) {
  for (const std::string& other : runtime_methods()) {
    if (other == GetParam()) continue;
    auto net = tiny_residual_net();
    make_pruner(other, parse_settings(method(other), {}), inputs())->attach(*net);
    EXPECT_THROW(pruner()->attach(*net), ValueError) << other;
  }
}

INSTANTIATE_TEST_SUITE_P(Registry,
                         EveryRuntimeMethod,
                         ::testing::ValuesIn(runtime_methods()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

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
  auto* gate = dynamic_cast<nn::Saliency*>(nn::placed_gates(*net).front().decision);
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
  const auto* gate = dynamic_cast<nn::PartialSum*>(nn::placed_gates(*net).front().decision);
  EXPECT_NEAR(gate->threshold.value.grad().value().at({3}), -2e-4, 1e-9);
}

TEST(Cgnet, ThresholdsCanStartAtTheTarget) {
  auto net = tiny_conv_net();
  const PruneSettings settings =
      parse_settings(method("cgnet"), {{"sparsity", "0.841344746"}, {"threshold-start", "target"}});
  make_pruner("cgnet", settings, {.input_shape = {3, 8, 8}})->attach(*net);
  const auto* gate = dynamic_cast<nn::PartialSum*>(nn::placed_gates(*net).front().decision);
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
