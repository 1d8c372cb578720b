// SPDX-License-Identifier: Apache-2.0
// Grains of gates with decisions of any kind: blocks, and what kernels can't decide by themselves.
#include <algorithm>
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/core/detail/json.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/safetensors.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/layers/residual.h>
#include <espalier/nn/quantize/quantize.h>
#include <espalier/nn/tests/gates_support.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;

constexpr double kTolerance = 1e-6;

void set(Parameter& parameter, const std::vector<float>& values) {
  parameter.value.value().copy_(Tensor::from<float>(parameter.shape(), values));
}

/// One position, two channels: x + open (x_0, 2 x_1), open where x_0 >= x_1.
struct GatedBlock {
  GatedBlock() {
    set(conv->weight, {1, 0, 0, 2});
    set(head->weight, {1, -1});
    set(head->bias, {0});
    gate = add_block_gate(block_sites(block).front(), head);
    block.eval();
  }

  std::shared_ptr<Conv2d> conv = std::make_shared<Conv2d>(
      Conv2d::Options{.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false});
  Residual block{{.main = conv, .activation = nullptr}};
  std::shared_ptr<Head> head = std::make_shared<Head>(Head::Options{.inputs = 2});
  std::shared_ptr<BlockGate> gate;
  Variable x{Tensor::from<float>({3, 2, 1, 1}, {2, 1, 1, 2, 1, 1})};
};

TEST(BlockGate, AddsTheBranchOfOpenSamples) {
  GatedBlock net;
  const std::vector<double> expected = {4, 3, 1, 2, 2, 3};
  expect_near(net.block(net.x).value(), expected, kTolerance);  // recorded: all is computed
  const NoGrad no_grad;
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    const MacCounter counter;
    const Variable y = net.block(Variable(net.x.value().to(layout)));
    expect_near(y.value(), expected, kTolerance);
    EXPECT_EQ(y.layout(), layout);
    EXPECT_EQ(counter.macs(), 2 * 4 + 3 * 2);  // two branches, three decisions
  }
}

TEST(BlockGate, AClosedBranchIsNotRunAtAll) {
  GatedBlock net;
  set(net.head->bias, {-5});
  net.conv->weight.value.value().fill_(NAN);
  const NoGrad no_grad;
  const MacCounter counter;
  expect_near(net.block(net.x).value(), {2, 1, 1, 2, 1, 1}, 0.0);
  EXPECT_EQ(counter.macs(), 3 * 2);
}

TEST(BlockGate, GradientIsThatOfTheProbability) {
  GatedBlock net;
  net.block.train();
  sum(net.block(net.x)).backward();
  // d/d logit = p (1 - p) (x_0 + 2 x_1) at logits 1, -1, 0.
  const double s = 1.0 / (1.0 + std::exp(-1.0));
  const double a = s * (1 - s) * 4, b = s * (1 - s) * 5, c = 0.25 * 3;
  expect_near(net.head->bias.value.grad().value(), {a + b + c}, 1e-5);
  expect_near(net.head->weight.value.grad().value(), {2 * a + b + c, a + 2 * b + c}, 1e-5);
  expect_near(net.gate->take_decided().price.value(), {s, 1 - s, 0.5}, kTolerance);
  EXPECT_FALSE(net.gate->take_decided().price.defined());
}

int64_t inputs_of(const BlockSite& site) {
  for (const NamedModule& part : site.module->named_modules()) {
    if (auto* conv = dynamic_cast<Conv2d*>(part.module)) return conv->options().in_channels;
  }
  return 0;
}

/// A network with gated blocks, whose heads have the bias given and differ by image.
SavedModel with_gated_blocks(const std::string& name, double bias) {
  SavedModel out = network(name);
  for (const BlockSite& site : block_sites(*out.module)) {
    auto head = std::make_shared<Head>(Head::Options{.inputs = inputs_of(site)});
    Rng rng(3, site.name);
    fill_normal_(head->weight.value.value(), rng, 0.0, std::abs(bias) > 5.0 ? 0.0 : 1.0);
    head->bias.value.value().fill_(bias);
    add_block_gate(site, head);
  }
  return out;
}

class GatedBlocks : public ::testing::TestWithParam<const char*> {};

TEST_P(GatedBlocks, OpenOnesComputeTheNetwork) {
  const SavedModel plain = network(GetParam());
  const SavedModel open = with_gated_blocks(GetParam(), 10.0);
  ASSERT_GE(block_sites(*open.module).size(), 9u);
  EXPECT_TRUE(is_gated(*open.module));
  const std::vector<double> expected = logits(*plain.module, images(2)).to_vector<double>();
  expect_near(logits(*open.module, images(2)), expected, 1e-4);
  remove_gates(*open.module);
  EXPECT_FALSE(is_gated(*open.module));
  EXPECT_EQ(logits(*open.module, images(2)).to_vector<double>(), expected);
}

TEST_P(GatedBlocks, ClosedOnesAreNotExecuted) {
  const SavedModel closed = with_gated_blocks(GetParam(), -10.0);
  const SavedModel plain = network(GetParam());
  int64_t rest = 0;  // outside of branches
  const ModelCount count = count_model(*plain.module, Shape{3, 32, 32});
  const std::vector<BlockSite> sites = block_sites(*closed.module);
  for (const LayerCount& layer : count.layers) {
    const bool branch = std::ranges::any_of(sites, [&](const BlockSite& site) {
      return layer.name.starts_with(site.name + ".") &&
             layer.name.find("downsample") == std::string::npos;
    });
    if (!branch) rest += layer.macs_dense;
  }
  for (const BlockSite& site : sites) rest += inputs_of(site);  // heads
  const NoGrad no_grad;
  const MacCounter counter;
  logits(*closed.module, images(1));
  EXPECT_EQ(counter.macs(), rest);
}

TEST_P(GatedBlocks, SkippingComputesWhatMaskedOpsDoForEveryImageAlone) {
  const SavedModel net = with_gated_blocks(GetParam(), 0.0);
  const Variable x = images(5);
  const EvalScope eval(*net.module);
  const std::vector<double> masked = (*net.module)(x).value().to_vector<double>();  // recorded
  const Tensor skipped = logits(*net.module, x).to(Layout::Nchw);
  expect_near(skipped, masked, 1e-3);
  const Tensor plain = x.value().to(Layout::Nchw);
  for (int64_t n = 0; n < 5; ++n) {
    const Tensor one = plain.slice(0, n, n + 1).clone();
    expect_near(logits(*net.module, Variable(one)),
                skipped.slice(0, n, n + 1).clone().to_vector<double>(),
                1e-3);
  }
}

TEST_P(GatedBlocks, SavedAndClonedNetworksDecideAlike) {
  const SavedModel net = with_gated_blocks(GetParam(), 0.0);
  const TemporaryFolder folder;
  save_model(folder / "net", net.name, net.options, *net.module);
  const SavedModel loaded = load_model(folder / "net");
  const std::vector<double> expected = logits(*net.module, images(3)).to_vector<double>();
  EXPECT_EQ(logits(*loaded.module, images(3)).to_vector<double>(), expected);
  const auto copy = net.module->clone();
  for (const BlockSite& site : block_sites(*net.module)) {
    for (const NamedParameter& p : site.block->form->named_parameters()) {
      p.parameter->value.value().fill_(-1.0);
    }
  }
  EXPECT_EQ(logits(*copy, images(3)).to_vector<double>(), expected);
  EXPECT_NE(logits(*net.module, images(3)).to_vector<double>(), expected);
}

INSTANTIATE_TEST_SUITE_P(Networks, GatedBlocks, ::testing::Values("resnet20", "mobilenetv2"));

// A head decides on channels as well: open ones are neither boosted nor robbed of their scale.
TEST(ChannelGate, TakesAnyDecision) {
  Conv2d conv({.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false});
  BatchNorm2d norm({.channels = 2});
  set(conv.weight, {1, 1, 2, -1});
  set(norm.weight, {3, 5});
  norm.running_var.fill_(1.0 - 1e-5);
  auto head = std::make_shared<Head>(Head::Options{.inputs = 2, .units = 2});
  set(head->weight, {1, -1, -1, 1});
  set(head->bias, {0.5F, -0.5F});
  GateSite site;
  site.layer = &conv;
  site.norm = &norm;
  add_channel_gate(site, head);
  conv.eval();
  norm.eval();
  const Variable x(Tensor::from<float>({2, 2, 1, 1}, {2, 1, 1, 3}));  // opens 0, then 1
  const std::vector<double> expected = {9, 0, 0, -5};
  const Variable y = norm(conv(x));
  expect_near(y.value(), expected, 1e-5);
  sum(y).backward();
  expect_near(norm.weight.value.grad().value(), {3, -1}, 1e-5);
  const NoGrad no_grad;
  const MacCounter counter;
  expect_near(norm(conv(x)).value(), expected, 1e-5);
  EXPECT_EQ(counter.macs(), 2 * 2 + 2 * 4);  // one channel of two inputs each, and the head

  Conv2d alone({.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false});
  set(alone.weight, {1, 1, 2, -1});
  GateSite bare;
  bare.layer = &alone;
  add_channel_gate(bare, head);
  alone.eval();
  expect_near(alone(x).value(), {3, 0, 0, -1}, 1e-5);
  EXPECT_THROW(add_channel_gate(bare, head), ValueError);  // it has one
}

/// Open where the partial sum is not negative; kernels can't take it.
class NotNegative : public Decision {
 public:
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "NotNegative"; }
  std::string kind() const override { return "not-negative"; }
  Decided decide(const Variable& partial) override { return {.open = step_ste(partial)}; }

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<NotNegative>(*this);
  }
};

TEST(PositionGate, TakesAnyDecision) {
  Conv2d known({.in_channels = 8, .out_channels = 8, .padding = 1});
  Conv2d any({.in_channels = 8, .out_channels = 8, .padding = 1});
  GateSite site;
  site.layer = &known;
  const auto threshold = add_partial_sum_gate(site, {.parts = 2});
  threshold->running_var.fill_(1.0 - 1e-5);
  site.layer = &any;
  add_position_gate(site, 2, std::make_shared<NotNegative>());
  Tensor x = Tensor::empty({3, 8, 7, 5});
  Rng rng(1, "x");
  fill_normal_(x, rng);
  known.eval();
  any.eval();
  const NoGrad no_grad;
  const MacCounter first;
  const std::vector<double> expected = known(Variable(x)).value().to_vector<double>();
  const int64_t macs = first.macs();
  const MacCounter second;
  expect_near(any(Variable(x)).value(), expected, 1e-5);
  EXPECT_EQ(second.macs(), macs);
}

TEST(PartialSum, NormalThresholdsAreQuantiles) {
  // Abramowitz, Stegun, table 26.5.
  EXPECT_NEAR(normal_threshold(0.5), 0.0, 1e-9);
  EXPECT_NEAR(normal_threshold(0.9), 1.281551566, 1e-8);
  EXPECT_NEAR(normal_threshold(0.025), -1.959963985, 1e-8);
  EXPECT_NEAR(normal_threshold(1.0), 4.0, 1e-9);
  EXPECT_NEAR(normal_threshold(0.0), -4.0, 1e-9);
}

TEST(Decisions, AProgramsOwnAreRestoredToo) {
  register_decision_kind(
      {.name = "not-negative", .make = [](const DecisionPlace&, const PartDescription&) {
         return std::make_shared<NotNegative>();
       }});
  EXPECT_THROW(register_decision_kind({.name = "head", .make = {}}), ValueError);
  const SavedModel net = network("resnet20");
  GateSite site;
  site.layer = dynamic_cast<Conv2d*>(form_site(*net.module, "layer1.0.conv1.weight").module);
  add_position_gate(site, 2, std::make_shared<NotNegative>());
  const SavedModel other = network("resnet20");
  restore_forms(*other.module, describe_forms(*net.module));
  EXPECT_EQ(placed_gates(*other.module).front().decision->kind(), "not-negative");
}

/// A file as it was before there were other forms.
void save_old(const std::filesystem::path& path,
              const SavedModel& net,
              const nlohmann::json& gates,
              bool quantized) {
  const SavedModel plain = network(net.name);
  auto text = nlohmann::json::parse(describe_model(net.name, net.options, *plain.module));
  if (!gates.empty()) text["gates"] = gates.dump();
  if (quantized) text["quantized"] = true;
  save_safetensors(path, {net.module->state_dict(), {{"architecture", text.dump()}}});
}

class OldFiles : public GatedNetworks {};

TEST_P(OldFiles, OfGatedNetworksAreRead) {
  const SavedModel net = gated();
  nlohmann::json gates;
  for (const GateSite& site : gate_sites(*net.module, images(1))) {
    if (kind() == "channels") {
      gates[site.name] = {
          {"kind", "channels"}, {"settings", nlohmann::json::object()}, {"norm", site.norm_name}};
    } else {
      gates[site.name] = {{"kind", "positions"},
                          {"settings", {{"parts", 2}, {"slope", 2}, {"sparse_back", 0}}}};
    }
  }
  const TemporaryFolder folder;
  save_old(folder / "old", net, gates, false);
  const SavedModel loaded = load_model(folder / "old");
  EXPECT_EQ(logits(*loaded.module, images(3)).to_vector<double>(),
            logits(*net.module, images(3)).to_vector<double>());
  EXPECT_EQ(describe_forms(*loaded.module), describe_forms(*net.module));
}

INSTANTIATE_TEST_SUITE_P(Kinds,
                         OldFiles,
                         ::testing::Combine(::testing::Values("channels", "positions"),
                                            ::testing::Values("resnet20")));

TEST(OldFiles, OfQuantizedNetworksAreRead) {
  const SavedModel net = network("resnet20");
  attach_quantizers(*net.module);
  for (const NamedModule& part : net.module->named_modules()) {
    if (auto* q = dynamic_cast<LayerQuantizer*>(part.module)) q->set_range(-2.0, 3.0);
  }
  const TemporaryFolder folder;
  save_old(folder / "old", net, {}, true);
  const SavedModel loaded = load_model(folder / "old");
  EXPECT_EQ(logits(*loaded.module, images(2)).to_vector<double>(),
            logits(*net.module, images(2)).to_vector<double>());
  EXPECT_EQ(describe_forms(*loaded.module), describe_forms(*net.module));
}

// The names that parts have in files.
TEST(OldFiles, NamesAreWhatTheyWere) {
  const SavedModel net = network("resnet20");
  const std::vector<GateSite> sites = gate_sites(*net.module, images(1));
  add_saliency_gate(sites[0]);
  add_partial_sum_gate(sites[1], {.parts = 2});
  attach_quantizers(*net.module);
  const auto state = net.module->state_dict();
  for (const char* name : {"layer1.0.conv1.gate.weight",
                           "layer1.0.conv1.gate.bias",
                           "layer1.0.conv1.gate.kept",
                           "layer1.0.conv2.gate.threshold",
                           "layer1.0.conv2.gate.running_mean",
                           "layer1.0.conv2.gate.running_var",
                           "conv1.quantizer.range",
                           "conv1.quantizer.calibrated",
                           "fc.quantizer.range"}) {
    EXPECT_TRUE(state.contains(name)) << name;
  }
  EXPECT_FALSE(state.contains("layer1.0.conv1.quantizer.range"));
}

}  // namespace
}  // namespace espalier::nn
