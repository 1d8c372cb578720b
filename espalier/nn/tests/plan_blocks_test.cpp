// SPDX-License-Identifier: Apache-2.0
// Blocks of sixteen samples that a thread takes through the first steps of a plan alone, and steps
// after them that all run together.
#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/plan_support.h>

namespace espalier::nn {
namespace {

Tensor logits(Module& model, const Tensor& x) {
  const EvalScope eval(model);
  const NoGrad no_grad;
  return model(Variable(x)).value();
}

/// Two values cross from the steps before a layer of many weights to those after it: its input, and
/// a sum beside it. `reads_input` lets a late step read the network's input too.
class Crossing : public Module {
 public:
  explicit Crossing(bool reads_input) : reads_input_(reads_input) {}
  void visit(MemberVisitor& visitor) override {
    visitor.module("first", first_);
    visitor.module("second", second_);
    visitor.module("heavy", heavy_);
    visitor.module("last", last_);
  }
  std::string describe() const override { return "Crossing"; }

 protected:
  Variable forward(const Variable& x) override {
    const Variable a = relu(first_(x));
    const Variable b = a + second_(a);
    const Variable flat = flatten(b);
    Variable y = relu(heavy_(flat)) + flat;
    if (reads_input_) y = y + flatten(x);
    return last_(y);
  }
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Crossing>(*this);
  }

 private:
  bool reads_input_;
  Conv2d first_{{.in_channels = 32, .out_channels = 32, .padding = 1}};
  Conv2d second_{{.in_channels = 32, .out_channels = 32, .kernel = 1}};
  Linear heavy_{{.in = 512, .out = 512}};  // 1 MB; a block's input has 32 KB
  Linear last_{{.in = 512, .out = 10}};
};

class PlanBlocks : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_num_threads(GetParam()); }
  void TearDown() override { set_num_threads(before_); }

 private:
  int before_ = num_threads();
};
INSTANTIATE_TEST_SUITE_P(Threads, PlanBlocks, ::testing::Values(1, 2, 3, 7));

TEST_P(PlanBlocks, ValuesCrossToTheStepsThatRunTogether) {
  for (const bool reads_input : {false, true}) {
    Crossing net(reads_input);
    init_parameters(net, 3);
    // 6 blocks, the last of 3 samples: for 7 threads none is alone, for 2 and 3 all, for one too.
    const Tensor x = random_tensor({83, 32, 4, 4}, 4);
    const Tensor expected = logits(net, x);
    for (const int64_t batch : {16, 48, 83, 200}) {
      const InferencePlan plan = compile(net, Variable(x), {.batch = batch});
      EXPECT_LT(max_difference(expected, plan.run(x)), 1e-5) << batch;
      Tensor lanes = Tensor::empty({83, 10}, DType::F32, Layout::Nchw16n);
      plan.run(x.to(Layout::Nchw16n), lanes);
      EXPECT_EQ(max_difference(plan.run(x), lanes), 0.0) << batch;
    }
  }
}

TEST_P(PlanBlocks, BitsAreThoseOfOneThread) {
  Crossing net(false);
  init_parameters(net, 3);
  const Tensor x = random_tensor({83, 32, 4, 4}, 4);
  const std::vector<float> got = compile(net, Variable(x)).run(x).to_vector<float>();
  set_num_threads(1);
  EXPECT_EQ(compile(net, Variable(x)).run(x).to_vector<float>(), got);
}

TEST_P(PlanBlocks, AWorkspaceThatWasMadeForOtherThreadsStillFits) {
  const auto model = make_model("resnet20", {.width = 0.25});
  const Tensor x = random_tensor({80, 3, 32, 32}, 4);
  const InferencePlan plan = compile(*model, Variable(x));
  const std::vector<float> expected = plan.run(x).to_vector<float>();
  for (const int threads : {1, 5}) {
    set_num_threads(threads);
    EXPECT_EQ(plan.run(x).to_vector<float>(), expected) << threads;
  }
}

TEST_P(PlanBlocks, MemoryIsThatOfTheBlocksInWork) {
  const auto model = make_model("resnet20", {.width = 0.5});
  const auto bytes = [&](int64_t batch) {
    return compile(*model, Variable(Tensor::zeros({1, 3, 32, 32})), {.batch = batch})
        .workspace_bytes();
  };
  // One for each thread, and as many as may be left over; besides them scratch, whose size is cut
  // by the batch.
  EXPECT_LT(bytes(1024), 1.5 * static_cast<double>(bytes(16 * 2 * GetParam())));
}

TEST(PlanOfHeavyLayers, ThePlanNamesWhereAllRunTogether) {
  Crossing net(false);
  init_parameters(net, 3);
  const Variable one(Tensor::zeros({1, 32, 4, 4}));
  const std::string text = compile(net, one).describe();
  EXPECT_NE(text.find("through the steps before heavy, which"), std::string::npos) << text;
  const auto small = make_model("resnet20", {.width = 0.5});
  const std::string all = compile(*small, Variable(Tensor::zeros({1, 3, 32, 32}))).describe();
  EXPECT_NE(all.find("at a time through all steps\n"), std::string::npos) << all;
}

TEST(PlanOfHeavyLayers, ALargeLayersWeightsAreReadOnceForAllBlocks) {
  Crossing net(false);
  init_parameters(net, 3);
  const auto bytes = [&](int64_t batch) {
    return compile(net, Variable(Tensor::zeros({1, 32, 4, 4})), {.batch = batch}).workspace_bytes();
  };
  EXPECT_GT(bytes(1024), 2 * bytes(256));  // all blocks are there at a time
}

}  // namespace
}  // namespace espalier::nn
