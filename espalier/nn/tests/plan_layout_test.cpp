// SPDX-License-Identifier: Apache-2.0
// Lanes or planes for many samples.
#include <espalier/core/parallel.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/plan_support.h>

namespace espalier::nn {
namespace {

class PlanLayout : public ::testing::Test {
 protected:
  void TearDown() override { set_num_threads(0); }
};

/// Sixteen samples of its values are far more than any cache holds.
Sequential large_planes() {
  Sequential net;
  net.add("in", Conv2d({.in_channels = 3, .out_channels = 40, .kernel = 3, .padding = 1}));
  net.add("one", Conv2d({.in_channels = 40, .out_channels = 48, .kernel = 1}));
  net.add("relu", ReLU());
  net.add("two", Conv2d({.in_channels = 48, .out_channels = 40, .kernel = 1}));
  net.add("pool", AdaptiveAvgPool2d(1, 1));
  init_parameters(net, 3);
  mask_randomly(net, 0.9);
  return net;
}

TEST_F(PlanLayout, OfLargeSparsePlanesAreOneByOne) {
  Sequential net = large_planes();
  const Tensor x = random_tensor({5, 3, 96, 90}, 5);
  const InferencePlan plan = compile(net, Variable(x));
  EXPECT_TRUE(plan.runs_in_planes(100));
  EXPECT_NE(plan.describe().find("in planes, each thread with its own"), std::string::npos);
  const EvalScope eval(net);
  const Tensor expected = net(Variable(x)).value();
  std::vector<float> one;
  for (const int threads : {1, 2, 7}) {
    set_num_threads(threads);
    const InferencePlan fresh = compile(net, Variable(x));  // a workspace for so many threads
    const Tensor y = fresh.run(x);
    EXPECT_LT(max_difference(expected, y), 1e-4) << threads;
    if (threads == 1) one = y.to_vector<float>();
    EXPECT_EQ(y.to_vector<float>(), one) << threads;
    EXPECT_EQ(plan.run(x).to_vector<float>(), one) << threads;
    const Tensor lanes = fresh.run(x.to(Layout::Nchw16n));
    EXPECT_EQ(lanes.to(Layout::Nchw).to_vector<float>(), one) << threads;
  }
}

TEST_F(PlanLayout, OfSmallPlanesAreSixteenInTheLanes) {
  const auto model = make_model("resnet20", {});
  for (const double sparsity : {0.0, 0.9}) {
    mask_randomly(*model, sparsity);
    const InferencePlan plan = compile(*model, Variable(Tensor::zeros({16, 3, 32, 32})));
    EXPECT_TRUE(plan.runs_in_planes(4));
    EXPECT_FALSE(plan.runs_in_planes(5));
    EXPECT_NE(plan.describe().find("a sample takes a thread"), std::string::npos);
  }
}

TEST_F(PlanLayout, StaysWhatItIsInAFile) {
  Sequential net = large_planes();
  const Tensor x = random_tensor({6, 3, 96, 90}, 5);
  const InferencePlan plan = compile(net, Variable(x));
  const espalier::testing::TemporaryFolder folder;
  plan.save(folder.path() / "plan.safetensors");
  const InferencePlan loaded = InferencePlan::load(folder.path() / "plan.safetensors");
  EXPECT_TRUE(loaded.runs_in_planes(6));
  EXPECT_EQ(loaded.run(x).to_vector<float>(), plan.run(x).to_vector<float>());
}

}  // namespace
}  // namespace espalier::nn
