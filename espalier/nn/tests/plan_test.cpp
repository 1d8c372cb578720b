// SPDX-License-Identifier: Apache-2.0
#include <thread>

#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/layers/residual.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/plan_support.h>

namespace espalier::nn {
namespace {

constexpr double kLogitTol = 1e-4;

Tensor logits(Module& model, const Tensor& x) {
  const EvalScope eval(model);
  const NoGrad no_grad;
  return model(Variable(x.to(Layout::Nchw16n))).value();
}

/// The largest difference of plan and module, relative to the largest logit where that is above 1.
double error_of(Module& model, const InferencePlan& plan, const Tensor& x) {
  const Tensor expected = logits(model, x);
  double largest = 1.0;
  for (const double value : values(expected)) largest = std::max(largest, std::abs(value));
  return max_difference(expected, plan.run(x)) / largest;
}

struct Small {
  std::string name;
  ModelOptions options;
};

/// Every model of the zoo for images, narrow where it may be.
class PlanOfZoo : public ::testing::TestWithParam<std::string> {
 protected:
  ModelOptions options() const {
    ModelOptions out;
    out.width = 0.25;
    return out;
  }
};

TEST_P(PlanOfZoo, GivesTheLogitsOfTheModule) {
  const auto model = make_model(GetParam(), options());
  disturb_batch_norms(*model);
  const Tensor x = random_tensor({19, 3, 32, 32}, 5);
  const InferencePlan plan = compile(*model, Variable(x));
  EXPECT_LT(error_of(*model, plan, x), kLogitTol);
  EXPECT_LT(error_of(*model, plan, random_tensor({1, 3, 32, 32}, 6)), kLogitTol);
}

TEST_P(PlanOfZoo, GivesThemWithSparseKernelsToo) {
  const auto model = make_model(GetParam(), options());
  disturb_batch_norms(*model);
  mask_randomly(*model, 0.9);
  const Tensor x = random_tensor({17, 3, 32, 32}, 7);
  const InferencePlan plan = compile(*model, Variable(x));
  int sparse = 0;
  for (const PlanStep& step : plan.steps()) sparse += step.format == "sparse" ? 1 : 0;
  EXPECT_GT(sparse, 0);
  EXPECT_LT(error_of(*model, plan, x), kLogitTol);
}

INSTANTIATE_TEST_SUITE_P(Models,
                         PlanOfZoo,
                         ::testing::Values("lenet-300-100",
                                           "lenet5",
                                           "conv2",
                                           "vgg11",
                                           "vgg16",
                                           "resnet20",
                                           "resnet18",
                                           "resnet50",
                                           "wrn-10-2",
                                           "mobilenetv2",
                                           "densenet-bc-10-12",
                                           "vit"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Plan, FoldsAndFusesAResidualBlockIntoItsConvolutions) {
  const auto model = make_model("resnet20", {.width = 0.25});
  const InferencePlan plan = compile(*model, Variable(Tensor::zeros({1, 3, 32, 32})));
  std::vector<std::string> others;
  for (const PlanStep& step : plan.steps()) {
    if (step.format == "-") others.push_back(step.what);
  }
  // Besides 19 convolutions and the classifier: two padding shortcuts and the pool.
  EXPECT_EQ(plan.steps().size(), 23u);
  EXPECT_EQ(others, (std::vector<std::string>{"copy", "copy", "mean_pool"}));
}

TEST(Plan, ComputesAHandWorkedBlock) {
  // relu(bn(conv(x)) + x) with one channel on one position: w = 2, bn(v) = 3 (v - 1) / 2 + 0.5.
  auto main = std::make_shared<Sequential>();
  Conv2d conv({.in_channels = 1, .out_channels = 1, .kernel = 1, .bias = false});
  conv.weight.value.value().fill_(2.0);
  BatchNorm2d norm({.channels = 1, .eps = 0.0});
  norm.weight.value.value().fill_(3.0);
  norm.bias.value.value().fill_(0.5);
  norm.running_mean.fill_(1.0);
  norm.running_var.fill_(4.0);
  main->add("conv", std::move(conv));
  main->add("bn", std::move(norm));
  Residual block({.main = main});
  const InferencePlan plan = compile(block, Variable(Tensor::zeros({1, 1, 1, 1})));
  EXPECT_EQ(plan.steps().size(), 1u);
  EXPECT_EQ(plan.steps()[0].what, "1x1 +residual relu");
  // x = 1: 2 -> 3 * 1 / 2 + 0.5 = 2, + 1 = 3.  x = -1: -2 -> -4, - 1 < 0.  x = 0: -1.
  const Tensor y = plan.run(Tensor::from<float>({3, 1, 1, 1}, {1, -1, 0}));
  EXPECT_EQ(values(y), (std::vector<double>{3, 0, 0}));
}

TEST(Plan, KeepsNaNsThroughItsLimits) {
  Sequential net;
  net.add("conv", Conv2d({.in_channels = 1, .out_channels = 1, .kernel = 1}));
  net.add("relu", ReLU());
  net.add("pool", MaxPool2d({.kernel = 2}));
  const InferencePlan plan = compile(net, Variable(Tensor::zeros({1, 1, 2, 2})));
  const Tensor y = plan.run(Tensor::from<float>({1, 1, 2, 2}, {1, NAN, 3, 4}));
  EXPECT_TRUE(std::isnan(y.item()));
}

TEST(Plan, ReadsAResidualWhoseInputIsReshaped) {
  // The reshaped values share memory with what is read later: it must not be written meanwhile.
  class Twice : public Module {
   public:
    Variable forward(const Variable& x) override {
      const Variable a = relu(x);
      const Variable b = relu(flatten(a));
      const Variable c = clamp(a, -1.0, 0.25);
      return b + flatten(c);
    }
    void visit(MemberVisitor&) override {}
    std::string describe() const override { return "Twice"; }

   protected:
    std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Twice>(*this); }
  };
  Twice net;
  const Tensor x = random_tensor({3, 2, 2, 2}, 4);
  const InferencePlan plan = compile(net, Variable(x));
  EXPECT_EQ(max_difference(logits(net, x), plan.run(x)), 0.0);
}

TEST(Plan, RunsWinogradWithItsEpilogue) {
  // Odd planes, channels that fill no tile, residual and ReLU; more tiles than a task has.
  auto main = std::make_shared<Sequential>();
  main->add("conv", Conv2d({.in_channels = 6, .out_channels = 6, .padding = 1}));
  Residual block({.main = main});
  init_parameters(block, 3);
  const Conv2dAlgorithm before = conv2d_algorithm();
  const Tensor x = random_tensor({35, 6, 7, 9}, 4);
  for (const Conv2dAlgorithm algorithm : {Conv2dAlgorithm::Winograd2, Conv2dAlgorithm::Winograd4}) {
    set_conv2d_algorithm(algorithm);
    const InferencePlan plan = compile(block, Variable(x));
    set_conv2d_algorithm(Conv2dAlgorithm::Direct);
    const Tensor expected = logits(block, x);
    set_conv2d_algorithm(before);
    EXPECT_EQ(plan.steps()[0].format, "winograd");
    EXPECT_LT(max_difference(expected, plan.run(x)), 1e-5);
  }
}

TEST(Plan, RunsWithoutTakingMemory) {
  for (const PlanFormat format : {PlanFormat::Dense, PlanFormat::Sparse}) {
    const auto model = make_model("resnet20", {.width = 2.0});
    mask_randomly(*model, 0.8);
    const InferencePlan plan =
        compile(*model, Variable(Tensor::zeros({32, 3, 32, 32})), {.format = format});
    for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
      const Tensor x = random_tensor({32, 3, 32, 32}, 5).to(layout);
      Tensor y = Tensor::empty({32, 10}, DType::F32, layout);
      reset_peak_memory();
      const MemoryStats before = memory_stats();
      for (int i = 0; i < 3; ++i) plan.run(x, y);
      const MemoryStats after = memory_stats();
      // Not even a block that the pool had kept: the peak would show it.
      EXPECT_EQ(after.bytes_peak, before.bytes_in_use);
      EXPECT_EQ(after.system_allocations, before.system_allocations);
    }
  }
}

TEST(Plan, FourThreadsAtOnceGiveTheSameBits) {
  const auto model = make_model("resnet20", {.width = 0.5});
  mask_randomly(*model, 0.9);
  const InferencePlan plan = compile(*model, Variable(Tensor::zeros({16, 3, 32, 32})));
  constexpr int kThreads = 4;
  std::vector<Tensor> inputs, expected, got(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    inputs.push_back(random_tensor({16 + t, 3, 32, 32}, static_cast<uint64_t>(t)));
    expected.push_back(plan.run(inputs.back()));
  }
  std::vector<int> different(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const auto i = static_cast<size_t>(t);
      for (int round = 0; round < 5; ++round) {
        const Tensor y = plan.run(inputs[i]);
        different[i] += y.to_vector<float>() != expected[i].to_vector<float>();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(different, std::vector<int>(kThreads));
}

TEST(Plan, BitsDoNotDependOnTheThreadCount) {
  const auto model = make_model("mobilenetv2", {.width = 0.25});
  mask_randomly(*model, 0.7);
  const Tensor x = random_tensor({33, 3, 32, 32}, 5);
  const int threads = num_threads();
  std::vector<std::vector<float>> results;
  for (const int n : {1, 2, 7}) {
    set_num_threads(n);
    results.push_back(compile(*model, Variable(x)).run(x).to_vector<float>());
  }
  set_num_threads(threads);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(Plan, ASampleHasTheSameBitsInEveryBatch) {
  const auto model = make_model("vgg11", {.width = 0.25});
  mask_randomly(*model, 0.9);
  const Tensor x = random_tensor({50, 3, 32, 32}, 5);
  const InferencePlan large = compile(*model, Variable(x));
  const InferencePlan small = compile(*model, Variable(x), {.batch = 16});  // runs 50 in 4 turns
  const std::vector<float> expected = large.run(x).to_vector<float>();
  EXPECT_EQ(small.run(x).to_vector<float>(), expected);
  for (const int64_t i : {0, 17, 45}) {
    const std::vector<float> five = small.run(x.slice(0, i, i + 5)).to_vector<float>();
    EXPECT_TRUE(std::equal(five.begin(), five.end(), expected.begin() + 10 * i)) << i;
  }
}

TEST(Plan, RunsBlocksAndPairsInBatches) {
  // Against direct dense convolutions, which half of the weights beat.
  set_conv2d_algorithm(Conv2dAlgorithm::Direct);
  const Tensor x = random_tensor({50, 3, 32, 32}, 5);
  const auto check = [&](const std::string& format, auto mask) {
    const auto model = make_model("vgg11", {.width = 0.25});
    disturb_batch_norms(*model);
    mask(*model);
    const InferencePlan plan = compile(*model, Variable(x));
    int found = 0;
    for (const PlanStep& step : plan.steps()) found += step.format == format ? 1 : 0;
    EXPECT_GE(found, 7) << format << '\n' << plan.describe();
    EXPECT_LT(error_of(*model, plan, x), kLogitTol) << format;
    const std::vector<float> expected = plan.run(x).to_vector<float>();
    const std::vector<float> five = plan.run(x.slice(0, 45, 50)).to_vector<float>();
    EXPECT_TRUE(std::equal(five.begin(), five.end(), expected.begin() + 450)) << format;
  };
  check("blocks", [](Module& model) { mask_in_blocks(model, 0.9); });
  check("blocks", [](Module& model) { mask_two_of_four(model, 4); });
  check("pairs", [](Module& model) { mask_two_of_four(model, 1); });
  set_conv2d_algorithm(Conv2dAlgorithm::Auto);
}

TEST(Plan, FewSamplesHaveTheSameBitsTogetherAndAlone) {
  const auto model = make_model("resnet20", {.width = 0.5});
  disturb_batch_norms(*model);
  mask_randomly(*model, 0.8);
  const Tensor x = random_tensor({InferencePlan::kPlanesSamples, 3, 32, 32}, 5);
  const InferencePlan plan = compile(*model, Variable(x));
  const std::vector<float> together = plan.run(x).to_vector<float>();
  const int threads = num_threads();
  for (int64_t i = 0; i < x.size(0); ++i) {
    const Tensor one = x.slice(0, i, i + 1);
    for (const int n : {1, 2, 7}) {
      set_num_threads(n);
      const std::vector<float> alone = compile(*model, Variable(x)).run(one).to_vector<float>();
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + 10 * i)) << i;
    }
    set_num_threads(threads);
    Tensor y = Tensor::empty({1, 10}, DType::F32, Layout::Nchw16n);
    plan.run(one.to(Layout::Nchw16n), y);
    EXPECT_EQ(y.to(Layout::Nchw).to_vector<float>(),
              std::vector<float>(together.begin() + 10 * i, together.begin() + 10 * (i + 1)));
  }
}

TEST(Plan, RunsBlocksAndEntriesInPlanesWhereWeightsAreMissing) {
  const auto model = make_model("resnet20", {.width = 1.0});
  mask_randomly(*model, 0.9);
  const InferencePlan plan = compile(*model, Variable(Tensor::zeros({1, 3, 32, 32})));
  int sparse = 0;
  for (const PlanStep& step : plan.steps()) {
    const bool in_planes = step.planes == "sparse" || step.planes == "code";
    EXPECT_EQ(in_planes, step.format == "sparse") << step.name;
    sparse += in_planes ? 1 : 0;
  }
  EXPECT_GE(sparse, 18);
}

TEST(Plan, RunsSingleSamplesFromFourThreads) {
  const auto model = make_model("vgg11", {.width = 0.25});
  mask_randomly(*model, 0.9);
  const InferencePlan plan = compile(*model, Variable(Tensor::zeros({1, 3, 32, 32})));
  constexpr int kThreads = 4;
  std::vector<int> different(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const Tensor x = random_tensor({1, 3, 32, 32}, static_cast<uint64_t>(t));
      const std::vector<float> expected = plan.run(x).to_vector<float>();
      for (int round = 0; round < 20; ++round) {
        different[static_cast<size_t>(t)] += plan.run(x).to_vector<float>() != expected;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(different, std::vector<int>(kThreads));
}

TEST(Plan, ReportsTheMacsThatItExecutes) {
  const auto model = make_model("lenet-300-100", {.image = {1, 28, 28}});
  mask_randomly(*model, 0.9);
  int64_t kept = 0;
  for (const NamedParameter& p : model->named_parameters()) {
    if (p.parameter->shape().rank() == 2) kept += p.parameter->nnz();
  }
  const Tensor x = random_tensor({20, 1, 28, 28}, 1);
  const InferencePlan sparse = compile(*model, Variable(x));
  EXPECT_EQ(sparse.macs(), kept);
  const InferencePlan dense = compile(*model, Variable(x), {.format = PlanFormat::Dense});
  EXPECT_EQ(dense.macs(), 784 * 300 + 300 * 100 + 100 * 10);
  const MacCounter counter;
  sparse.run(x);
  EXPECT_EQ(counter.macs(), 20 * kept);
}

TEST(Plan, PrintsItsSteps) {
  const auto net = tiny_net();
  const InferencePlan plan = compile(*net, Variable(Tensor::zeros({1, 1, 8, 8})));
  const std::string text = plan.describe();
  EXPECT_NE(text.find("conv"), std::string::npos);
  EXPECT_NE(text.find("3x3 relu"), std::string::npos);
  EXPECT_NE(text.find("max_pool"), std::string::npos);
  // 5 channels of 9 taps on 64 positions, and 80 features for 3 classes.
  EXPECT_NE(text.find("3,120 MACs a sample"), std::string::npos) << text;
}

TEST(Plan, NamesWhatItCannotDo) {
  class TopHalf : public Module {
   public:
    Variable forward(const Variable& x) override { return topk(x, x.size(3) / 2, 3).values; }
    void visit(MemberVisitor&) override {}
    std::string describe() const override { return "TopHalf"; }

   protected:
    std::unique_ptr<Module> shallow_copy() const override {
      return std::make_unique<TopHalf>(*this);
    }
  };
  Sequential net;
  net.add("conv", Conv2d({.in_channels = 1, .out_channels = 1}));
  net.add("act", TopHalf());
  const std::string text = message_of<NotImplemented>([&] {
    compile(net, Variable(Tensor::zeros({1, 1, 4, 4})));
  });
  EXPECT_NE(text.find("'gather'"), std::string::npos) << text;
  EXPECT_NE(text.find("'act'"), std::string::npos) << text;
  EXPECT_NE(text.find("conv2d, linear"), std::string::npos) << text;
}

TEST(Plan, LeavesTheModelAsItWas) {
  const auto model = make_model("resnet20", {.width = 0.25});
  model->train();
  const auto before = snapshot(model->state_dict());
  compile(*model, Variable(Tensor::zeros({2, 3, 32, 32})));
  EXPECT_EQ(snapshot(model->state_dict()), before);
  for (const NamedModule& part : model->named_modules()) EXPECT_TRUE(part.module->training());
}

TEST(Plan, RejectsTensorsThatDoNotFit) {
  const auto net = tiny_net();
  const InferencePlan plan = compile(*net, Variable(Tensor::zeros({1, 1, 8, 8})));
  EXPECT_THROW(plan.run(Tensor::zeros({1, 1, 8, 9})), ShapeError);
  EXPECT_THROW(plan.run(Tensor::zeros({1, 1, 8, 8}, DType::F64)), TypeError);
  Tensor y = Tensor::zeros({2, 3});
  EXPECT_THROW(plan.run(Tensor::zeros({1, 1, 8, 8}), y), ShapeError);
  EXPECT_EQ(plan.run(Tensor::zeros({0, 1, 8, 8})).shape(), (Shape{0, 3}));
}

}  // namespace
}  // namespace espalier::nn
