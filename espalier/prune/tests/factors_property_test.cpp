// SPDX-License-Identifier: Apache-2.0
/// What every method must do that leaves factors in the place of weights, instead of masks.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/forms/low_rank.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/introspect/explain.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/prune/tests/calibration.h>
#include <espalier/prune/tests/killed_run.h>

namespace espalier::prune {
namespace {

using nn::LowRank;
using testing::expect_near;
using testing::Options;
using testing::restore;
using testing::SaveAt;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_mlp;

constexpr double kFloat = 2e-4;  // of float32 answers, whose sums are in another order

struct Way {
  std::string method;
  Options options;
};

class EveryMethodOfFactors : public ::testing::TestWithParam<Way> {
 protected:
  PruneSettings settings(Options given = {}) const {
    given.insert(GetParam().options.begin(), GetParam().options.end());
    given.insert({"sparsity", "0.5"});
    return parse_settings(method(GetParam().method), given);
  }
  std::unique_ptr<Pruner> pruner(const Options& given = {}) const {
    return make_pruner(GetParam().method, settings(given), {.seed = 4});
  }
  void train(nn::Module& net,
             nn::Optimizer& optimizer,
             const std::vector<nn::TrainHook*>& hooks,
             std::optional<nn::TrainProgress> resume = {}) const {
    auto loader = tiny_loader();
    nn::fit(net,
            optimizer,
            nn::ConstantLr(0.01),
            *loader,
            hooks,
            {.epochs = 3, .resume = std::move(resume)});
  }
  static nn::Sgd optimizer(nn::Module& net) {
    return nn::Sgd(net, {.lr = 0.01, .momentum = 0.9}, 1e-2);
  }
};

// The stored weight rests, decay and all; factors learn and stay; nothing has a mask.
TEST_P(EveryMethodOfFactors, FactorsLearnAndStay) {
  auto net = tiny_conv_net();
  const auto hook = pruner();
  hook->attach(*net);
  const auto before = testing::copied(net->state_dict());
  auto sgd = optimizer(*net);
  train(*net, sgd, {hook.get()});
  const auto& form = dynamic_cast<const LowRank&>(*nn::form_site(*net, "3.weight").form());
  const int64_t kept = LowRank::numbers({16, 8, 3, 3}, form.options());
  EXPECT_LE(kept, 1152 / 2);
  for (const auto& [name, tensor] : net->state_dict()) {
    const bool rests = name.ends_with("weight") &&
                       std::ranges::any_of(nn::form_sites(*net), [&](const nn::FormSite& site) {
                         return site.weight == name && site.form() != nullptr;
                       });
    const bool same = before.at(name).to_vector<double>() == tensor.to_vector<double>();
    EXPECT_EQ(same, rests) << name;
  }
  for (const nn::NamedParameter& p : net->named_parameters()) EXPECT_FALSE(p.parameter->masked());
  ASSERT_EQ(hook->updates().size(), 1U);
  EXPECT_EQ(hook->updates()[0].layers.at(1).kept, kept);
  EXPECT_EQ(hook->updates()[0].layers.at(1).total, 1152);
}

// Counted by factors, as they run; explained; and a plan runs the same.
TEST_P(EveryMethodOfFactors, IsCountedExplainedAndCompiledByItsFactors) {
  auto net = tiny_conv_net();
  const nn::ModelCount dense = nn::count_model(*net, Shape{3, 8, 8});
  pruner()->attach(*net);
  net->eval();
  const nn::ModelCount count = nn::count_model(*net, Shape{3, 8, 8});
  const auto& form = dynamic_cast<const LowRank&>(*nn::form_site(*net, "3.weight").form());
  const int64_t kept = LowRank::numbers({16, 8, 3, 3}, form.options());
  EXPECT_EQ(count.total.params, dense.total.params);
  EXPECT_EQ(count.total.macs_dense, dense.total.macs_dense);
  EXPECT_EQ(count.total.macs_effective, count.total.macs_executed);
  EXPECT_LT(count.total.macs_effective, dense.total.macs_effective);
  bool found = false;
  for (const nn::LayerCount& layer : count.layers) {
    EXPECT_EQ(layer.name.find("form"), std::string::npos) << layer.name;
    if (layer.name != "3") continue;
    found = true;
    EXPECT_EQ(layer.weights_nonzero, kept);
    EXPECT_EQ(layer.params_nonzero, kept);
    EXPECT_EQ(layer.macs_effective, layer.macs_executed);
    EXPECT_EQ(layer.macs_effective, kept * 64);
  }
  EXPECT_TRUE(found);
  const Tensor images = testing::random_matrix(6, 64, 8).reshape({2, 3, 8, 8}).to(DType::F32);
  const auto explained = nn::explain(*net, Variable(images));
  EXPECT_NE(explained.at(1).forward.choice.reason.find("runs as its factors"), std::string::npos);
  EXPECT_EQ(explained.at(0).forward.choice.reason.find("runs as its factors") == std::string::npos,
            GetParam().method == "tucker2");
  const NoGrad no_grad;
  const auto answers = (*net)(Variable(images)).value().to_vector<double>();
  expect_near(nn::compile(*net, Variable(images)).run(images), answers, kFloat);
  nn::fold_forms(*net);
  expect_near((*net)(Variable(images)).value(), answers, kFloat);
}

TEST_P(EveryMethodOfFactors, ARestoredNetworkGivesTheSame) {
  auto net = tiny_conv_net();
  const auto hook = pruner();
  hook->attach(*net);
  auto sgd = optimizer(*net);
  train(*net, sgd, {hook.get()});
  auto other = tiny_conv_net(99);
  nn::restore_forms(*other, nn::describe_forms(*net));
  other->load_state_dict(net->state_dict());
  const auto copy = net->clone();
  const Variable x(Tensor::ones({2, 3, 8, 8}));
  for (nn::Module* one :
       {static_cast<nn::Module*>(net.get()), static_cast<nn::Module*>(other.get()), copy.get()}) {
    one->eval();
  }
  const auto right = (*net)(x).value().to_vector<float>();
  EXPECT_EQ((*other)(x).value().to_vector<float>(), right);
  EXPECT_EQ((*copy)(x).value().to_vector<float>(), right);
}

TEST_P(EveryMethodOfFactors, AKilledRunEndsWithTheSameBits) {
  for (const int64_t step : {1, 7}) {
    auto net = tiny_conv_net();
    const auto hook = pruner();
    hook->attach(*net);
    auto sgd = optimizer(*net);
    SaveAt save(step, *hook);
    train(*net, sgd, {hook.get(), &save});
    auto resumed = tiny_conv_net(77);
    const auto hook2 = pruner();
    hook2->attach(*resumed);
    auto sgd2 = optimizer(*resumed);
    restore(save.saved, *resumed, sgd2, *hook2);
    train(*resumed, sgd2, {hook2.get()}, save.saved.progress);
    const auto a = net->state_dict(), b = resumed->state_dict();
    ASSERT_EQ(a.size(), b.size());
    for (const auto& [name, tensor] : a) {
      EXPECT_EQ(tensor.to_vector<double>(), b.at(name).to_vector<double>()) << name;
    }
  }
}

// What can't be cut is told, and stays.
TEST_P(EveryMethodOfFactors, LeavesAloneWhatItMustNotCut) {
  auto net = tiny_conv_net();
  net->parameter("3.weight").set_mask(Tensor::ones({16, 8, 3, 3}, DType::U8));
  auto without = settings();
  without.exclude = {"7"};
  const auto hook = make_pruner(GetParam().method, without, {.seed = 4});
  const auto mlp = tiny_mlp();
  pruner()->attach(*mlp);
  EXPECT_NE(nn::form_site(*mlp, "1.weight").form(), nullptr);
  if (GetParam().method == "tucker2") {  // the first convolution alone is left
    EXPECT_THROW(hook->attach(*net), ValueError);
  } else {
    hook->attach(*net);
    EXPECT_NE(nn::form_site(*net, "0.weight").form(), nullptr);
  }
  EXPECT_EQ(nn::form_site(*net, "3.weight").form(), nullptr);
  EXPECT_EQ(nn::form_site(*net, "7.weight").form(), nullptr);
  PruneSettings ablated = settings();
  ablated.ablation = Ablation::Shuffle;
  EXPECT_THROW(make_pruner(GetParam().method, ablated, {}), NotImplemented);
}

INSTANTIATE_TEST_SUITE_P(
    Registry,
    EveryMethodOfFactors,
    ::testing::Values(Way{"svd", {}}, Way{"svd", {{"split", "spatial"}}}, Way{"tucker2", {}}),
    [](const auto& info) {
      return info.param.method + (info.param.options.empty() ? "" : "_spatial");
    });

TEST(Factors, EveryMethodThatLeavesFactorsIsTested) {
  std::set<std::string> known = {"svd", "tucker2"};
  for (const Method& method : methods()) {
    EXPECT_EQ(method.facts().stays, known.contains(method.name)) << method.name;
  }
}

}  // namespace
}  // namespace espalier::prune
