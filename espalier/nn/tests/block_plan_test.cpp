// SPDX-License-Identifier: Apache-2.0
// Networks with gated blocks as inference plans: they decide as the module does, and closed
// branches are not run.
#include <cmath>
#include <thread>

#include <gtest/gtest.h>

#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/layers/residual.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/block_gates.h>
#include <espalier/nn/tests/plan_support.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;

void set(Parameter& parameter, const std::vector<float>& values) {
  parameter.value.value().copy_(Tensor::from<float>(parameter.shape(), values));
}

/// One position, two channels: x + open (x_0, 2 x_1), open where x_0 - x_1 + bias >= 0.
struct SmallBlock {
  explicit SmallBlock(float bias) {
    set(conv->weight, {1, 0, 0, 2});
    set(head->weight, {1, -1});
    set(head->bias, {bias});
    add_block_gate(block_sites(block).front(), head);
    block.eval();
  }
  std::shared_ptr<Conv2d> conv = std::make_shared<Conv2d>(
      Conv2d::Options{.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false});
  Residual block{{.main = conv, .activation = nullptr}};
  std::shared_ptr<Head> head = std::make_shared<Head>(Head::Options{.inputs = 2});
};

void expect_close(const Tensor& got, const Tensor& expected, double tolerance = kNetworkTolerance) {
  const std::vector<double> a = values(got);
  const std::vector<double> b = values(expected);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a[i], b[i], tolerance * std::max(1.0, std::abs(b[i]))) << i;
  }
}

TEST(BlockPlan, AddsTheBranchOfOpenSamples) {
  SmallBlock net(0.0f);
  const Tensor x = Tensor::from<float>({3, 2, 1, 1}, {2, 1, 1, 2, 1, 1});
  const InferencePlan plan = compile(net.block, Variable(x), {.format = PlanFormat::Dense});
  const MacCounter counter;
  EXPECT_EQ(values(plan.run(x)), (std::vector<double>{4, 3, 1, 2, 2, 3}));
  EXPECT_EQ(counter.macs(), 2 * 4 + 3 * 2);  // two branches, three decisions
  EXPECT_EQ(plan.macs(), 4 + 2);
  ASSERT_EQ(plan.steps().size(), 2u);
  EXPECT_EQ(plan.steps()[0].what, "decision");
  EXPECT_EQ(plan.steps()[1].gate, "gate");
  EXPECT_TRUE(plan.runs_in_planes(100));
}

// Sigmoid rounds a little below 0 to 1/2, where the module opens: so does the plan. A NaN opens.
TEST(BlockPlan, AnExactTieOpens) {
  const float least = least_open_logit();
  EXPECT_LT(least, 0.0f);
  EXPECT_GT(least, -1e-6f);
  const Tensor x = Tensor::from<float>({1, 2, 1, 1}, {0, 0});
  for (const float bias : {0.0f, least, std::nextafter(least, -1.0f), -1e-7f, 1e-7f}) {
    SmallBlock net(bias);
    const Tensor one = Tensor::from<float>({1, 2, 1, 1}, {1, 1});
    const Tensor y = compile(net.block, Variable(x)).run(one);
    EXPECT_EQ(values(y), values(logits(net.block, Variable(one)))) << bias;
    EXPECT_EQ(y.data<float>()[0], bias >= least ? 2.0f : 1.0f) << bias;
  }
  SmallBlock net(0.0f);
  const MacCounter counter;
  const Tensor y = compile(net.block, Variable(x)).run(Tensor::from<float>({1, 2, 1, 1}, {NAN, 1}));
  EXPECT_TRUE(std::isnan(y.data<float>()[0]));
  EXPECT_GT(counter.macs(), 2);
}

class BlockPlans : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  std::string name() const { return std::get<0>(GetParam()); }
  std::string kind() const { return std::get<1>(GetParam()); }
  SavedModel gated(Opens opens = Opens::Some) const { return with_heads(name(), kind(), opens); }
};

TEST_P(BlockPlans, DecideAndSkipAsTheModuleDoes) {
  const SavedModel net = gated();
  const Tensor x = varied_images(20);
  const InferencePlan plan = compile(*net.module, Variable(sample_of(x, 0)));
  const Tensor expected = logits(*net.module, Variable(x));
  int64_t least = plan.macs();
  int64_t most = 0;
  for (int64_t n = 0; n < 20; ++n) {
    const Tensor one = sample_of(x, n);
    const MacCounter of_module;
    const Tensor of_one = logits(*net.module, Variable(one));
    const int64_t macs = of_module.macs();
    const MacCounter of_plan;
    expect_close(plan.run(one), of_one);
    EXPECT_EQ(of_plan.macs(), macs) << n;
    least = std::min(least, macs);
    most = std::max(most, macs);
  }
  EXPECT_LT(least, most);
  EXPECT_LT(most, plan.macs());
  const MacCounter of_all;
  expect_close(plan.run(x), expected);
  EXPECT_GT(of_all.macs(), 20 * least);
  EXPECT_LT(of_all.macs(), 20 * most);
}

TEST_P(BlockPlans, HaveTheSameBitsInAnyCompanyOnAnyThreads) {
  const SavedModel net = gated();
  const Tensor x = varied_images(20);
  const InferencePlan plan = compile(*net.module, Variable(x));
  const std::vector<float> expected = plan.run(x).to_vector<float>();
  const int threads = num_threads();
  for (const int count : {1, 2, 7}) {
    set_num_threads(count);
    const InferencePlan other = compile(*net.module, Variable(sample_of(x, 0)));
    EXPECT_EQ(other.run(x).to_vector<float>(), expected);
    EXPECT_EQ(plan.run(x.to(Layout::Nchw16n)).to_vector<float>(), expected);
    std::vector<float> alone;
    for (int64_t n = 0; n < 20; n += 3) {  // three together, the last two
      const Tensor some = x.slice(0, n, std::min<int64_t>(20, n + 3)).clone();
      for (const float v : plan.run(some).to_vector<float>()) alone.push_back(v);
    }
    EXPECT_EQ(alone, expected) << count;
    EXPECT_EQ(plan.run(sample_of(x, 19)).to_vector<float>(),
              std::vector<float>(expected.end() - 10, expected.end()));
  }
  set_num_threads(threads);
}

TEST_P(BlockPlans, WithAllOpenAreThePlanOfTheNetwork) {
  const SavedModel net = gated(Opens::All);
  const SavedModel plain = network(name());
  const Tensor x = varied_images(3);
  const InferencePlan open = compile(*net.module, Variable(x));
  const InferencePlan whole = compile(*plain.module, Variable(x));
  EXPECT_EQ(open.run(x).to_vector<float>(), whole.run(x).to_vector<float>());
  const MacCounter counter;
  open.run(x);
  EXPECT_EQ(counter.macs(), 3 * open.macs());
  EXPECT_GT(open.macs(), whole.macs());  // heads
}

TEST_P(BlockPlans, DoNotRunClosedBranches) {
  const SavedModel net = gated(Opens::None);
  const Tensor x = varied_images(3);
  const Tensor expected = logits(*net.module, Variable(x));
  int64_t branches = 0;
  const InferencePlan healthy = compile(*net.module, Variable(x));
  for (const PlanStep& step : healthy.steps()) branches += step.gate.empty() ? 0 : step.macs;
  EXPECT_GT(branches, healthy.macs() / 4);
  for (const PlacedGate& gate : placed_gates(*net.module)) {
    for (const NamedParameter& p : net.module->named_parameters()) {
      const bool branch = p.name.starts_with(gate.name + ".") &&
                          p.name.find("downsample") == std::string::npos &&
                          p.name.find(".gate.") == std::string::npos;
      if (branch && p.parameter->shape().rank() == 4) p.parameter->value.value().fill_(NAN);
    }
  }
  const InferencePlan plan = compile(*net.module, Variable(x));
  const MacCounter counter;
  expect_close(plan.run(x), expected);
  EXPECT_EQ(counter.macs(), 3 * (plan.macs() - branches));
}

TEST_P(BlockPlans, AreSavedAndRunFromFourThreads) {
  const SavedModel net = gated();
  const Tensor x = varied_images(18);
  const InferencePlan plan = compile(*net.module, Variable(x));
  const TemporaryFolder folder;
  plan.save(folder / "plan.safetensors");
  const InferencePlan loaded = InferencePlan::load(folder / "plan.safetensors");
  EXPECT_EQ(loaded.describe(), plan.describe());
  const std::vector<float> expected = plan.run(x).to_vector<float>();
  std::vector<std::vector<float>> results(4);
  std::vector<std::thread> callers;
  for (auto& result : results) {
    callers.emplace_back([&] { result = loaded.run(x).to_vector<float>(); });
  }
  for (std::thread& caller : callers) caller.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST_P(BlockPlans, MultiplySparselyWhatIsOpen) {
  const SavedModel net = gated();
  mask_randomly(*net.module, 0.9);
  const Tensor x = varied_images(6);
  const InferencePlan plan =
      compile(*net.module, Variable(sample_of(x, 0)), {.format = PlanFormat::Sparse});
  int sparse = 0;
  for (const PlanStep& step : plan.steps()) {
    const bool wide = step.what.starts_with("3x3") || step.what.starts_with("1x1");
    sparse += !step.gate.empty() && wide && step.planes != "dense";
  }
  EXPECT_GE(sparse, 8);
  const Tensor expected = logits(*net.module, Variable(x));
  const MacCounter counter;
  expect_close(plan.run(x), expected);
  EXPECT_LT(counter.macs(), 6 * plan.macs());
}

INSTANTIATE_TEST_SUITE_P(
    Networks,
    BlockPlans,
    ::testing::Combine(::testing::Values("resnet20", "resnet18", "wrn-16-2", "mobilenetv2"),
                       ::testing::Values("head", "gumbel-head")));

/// conv, norm and, where `relu`, ReLU.
std::shared_ptr<Sequential> layers(int64_t in, int64_t out, bool relu) {
  auto net = std::make_shared<Sequential>();
  net->add("conv", Conv2d({.in_channels = in, .out_channels = out, .padding = 1}));
  net->add("norm", BatchNorm2d({.channels = out, .relu = relu}));
  return net;
}

// The sum is written over the shortcut: planes of all widths, also those that no vector divides,
// and weights of every kernel.
TEST(BlockPlan, JoinsInThePlaceOfTheShortcut) {
  for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {2, 2}, {3, 5}, {7, 9}, {8, 8}, {5, 16}, {4, 17}, {2, 32}, {3, 48}}) {
    for (const double sparsity : {0.0, 0.8}) {
      const auto make = [&](bool gated) {
        auto main = std::make_shared<Sequential>();
        main->add("first", *layers(5, 5, true));
        main->add("last", *layers(5, 5, false));
        auto model = std::make_unique<Sequential>();
        model->add("stem", *layers(3, 5, true));
        model->add("block", Residual({.main = main}));
        model->add("next", Residual({.main = layers(5, 5, false), .activation = nullptr}));
        init_parameters(*model, 3);
        disturb_batch_norms(*model);
        if (sparsity > 0.0) mask_randomly(*model, sparsity);
        for (const BlockSite& site : block_sites(*model)) {
          if (gated) add_block_gate(site, random_head("head", 5, site.name, Opens::All));
        }
        return model;
      };
      const auto gated = make(true);
      const Tensor x = random_tensor({3, 3, h, w}, 4);
      const CompileOptions sparse = {.format = PlanFormat::Sparse};
      const InferencePlan whole = compile(*make(false), Variable(x), sparse);
      EXPECT_EQ(compile(*gated, Variable(x), sparse).run(x).to_vector<float>(),
                whole.run(x).to_vector<float>())
          << h << "x" << w << ", " << sparsity;
      for (const PlacedGate& gate : placed_gates(*gated)) {
        auto* head = dynamic_cast<Head*>(gate.decision);
        head->bias.value.value().fill_(gate.name == "block" ? -10.0 : 10.0);
      }
      expect_close(compile(*gated, Variable(x), sparse).run(x), logits(*gated, Variable(x)));
    }
  }
}

// What is closed outside leaves out the inner decision too; an inner one may close by itself.
TEST(BlockPlan, TakesGatesWithinABranch) {
  auto inner = std::make_shared<Residual>(Residual::Parts{.main = layers(3, 3, false)});
  auto main = std::make_shared<Sequential>();
  main->add("first", *layers(3, 3, true));
  main->add("inner", *inner);
  main->add("last", *layers(3, 3, false));
  Residual outer({.main = main, .shortcut = layers(3, 3, false)});
  init_parameters(outer, 3);
  disturb_batch_norms(outer);
  const std::vector<BlockSite> sites = block_sites(outer);
  ASSERT_EQ(sites.size(), 2u);
  for (const BlockSite& site : sites) {
    add_block_gate(site, random_head("head", 3, site.name + "head", Opens::Some));
  }
  const Tensor x = varied_images(24);
  const InferencePlan plan = compile(outer, Variable(sample_of(x, 0)));
  std::vector<int64_t> seen;
  for (int64_t n = 0; n < 24; ++n) {
    const Tensor one = sample_of(x, n);
    const MacCounter of_module;
    const Tensor expected = logits(outer, Variable(one));
    const int64_t macs = of_module.macs();
    const MacCounter of_plan;
    expect_close(plan.run(one), expected);
    EXPECT_EQ(of_plan.macs(), macs) << n;
    if (std::ranges::find(seen, macs) == seen.end()) seen.push_back(macs);
  }
  EXPECT_EQ(seen.size(), 3u);  // closed, open, open with a closed one inside
  expect_close(plan.run(x), logits(outer, Variable(x)));
}

// A branch that ends in no product, whose last value something else reads too, and a shortcut that
// is needed again: nothing may be left out or overwritten but what the branch alone needs.
TEST(BlockPlan, LeavesWhatOthersNeed) {
  class Shared : public Module, public FormedBlock {
   public:
    Shared() { init_parameters(conv_, 3); }
    Variable forward(const Variable& x) override {
      const Variable early = relu(conv_(x));
      const auto branch = [&](const Variable& in) { return relu(in) + early; };
      return form->add_branch(x, x, branch) + relu(x) + early;
    }
    void visit(MemberVisitor& visitor) override {
      visitor.module("conv", conv_);
      visitor.part(form->member(), form);
    }
    std::string describe() const override { return "Shared"; }

   protected:
    std::unique_ptr<Module> shallow_copy() const override {
      return std::make_unique<Shared>(*this);
    }

   private:
    Conv2d conv_{{.in_channels = 3, .out_channels = 3, .padding = 1}};
  };
  for (const Opens opens : {Opens::None, Opens::All}) {
    Shared block;
    block.form = std::make_shared<BlockGate>(random_head("gumbel-head", 3, "one", opens));
    const Tensor x = varied_images(3);
    expect_close(compile(block, Variable(x)).run(x), logits(block, Variable(x)));
  }
}

// Layers with large weights run for all samples side by side: for those that are open.
TEST(BlockPlan, SamplesSideBySideHaveTheBitsThatTheyHaveAlone) {
  auto main = std::make_shared<Sequential>();
  main->add("wide", *layers(64, 512, true));
  main->add("narrow", *layers(512, 64, false));
  Sequential model;
  model.add("stem", Conv2d({.in_channels = 3, .out_channels = 64, .kernel = 1}));
  model.add("block", Residual({.main = main}));
  init_parameters(model, 3);
  const Tensor x = varied_images(19).slice(2, 0, 4).slice(3, 0, 4).clone();
  for (const GateSite& site : gate_sites(model, Variable(x))) {
    const auto gate = add_saliency_gate(site);
    Rng rng(4, site.name);
    fill_normal_(gate->weight.value.value(), rng, 0.0, 0.3);
    gate->keep(gate->kept() / 8);
  }
  add_block_gate(block_sites(model).front(), random_head("head", 64, "blocks", Opens::Some));
  const InferencePlan plan = compile(model, Variable(x));
  const MacCounter of_all;
  const Tensor y = plan.run(x);
  const int64_t together = of_all.macs();
  int64_t alone = 0;
  int closed = 0;
  for (int64_t n = 0; n < 19; ++n) {
    const MacCounter of_one;
    EXPECT_EQ(plan.run(sample_of(x, n)).to_vector<float>(), sample_of(y, n).to_vector<float>())
        << n;
    alone += of_one.macs();
    closed += of_one.macs() == 16 * 3 * 64 + 64;  // the stem and the decision
  }
  EXPECT_EQ(together, alone);
  EXPECT_GT(closed, 2);
  EXPECT_LT(closed, 17);
  expect_close(y, logits(model, Variable(x)), 1e-4);
}

/// Open everywhere; no plan knows how it decides.
class Everywhere : public Decision {
 public:
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "Everywhere"; }
  std::string kind() const override { return "everywhere"; }
  Decided decide(const Variable& x) override {
    return {.open = Variable(Tensor::ones({x.size(0), 1}))};
  }

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Everywhere>(*this);
  }
};

TEST(BlockPlan, RefusesADecisionWithoutARuleByName) {
  const SavedModel net = network("resnet20");
  const BlockGateSite site = block_gate_sites(*net.module, images(1)).front();
  add_block_gate(site, std::make_shared<Everywhere>());
  const std::string text = message_of<NotImplemented>([&] { compile(*net.module, images(1)); });
  EXPECT_NE(text.find("'layer1.1.gate' has a gate whose decision no kernel takes"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace espalier::nn
