// SPDX-License-Identifier: Apache-2.0
// Widening against the network that it starts from: the same numbers with copies, the widths that
// were asked for, fresh weights where they were asked for, and the largest factor of a budget.
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/module/init.h>
#include <espalier/prune/budgets/widest.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/structure/widen.h>
#include <espalier/prune/tests/groups.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/tests/zoo.h>

namespace espalier::prune {
namespace {

constexpr double kExactTolerance = 1e-9;  // of logits in float64, relative to the largest

std::vector<ChannelGroup> groups_of(nn::Module& model, const Variable& one) {
  return trace_channels(model, one).groups(model);
}

double scale_of(const Tensor& logits) {
  return std::max(1.0, largest_difference(logits, Tensor::zeros_like(logits)));
}

/// Every model of the zoo that has a channel to copy.
std::vector<std::string> all_models() {
  std::vector<std::string> names = {"wrn-10-2", "densenet-bc-22-12"};
  for (const nn::ModelInfo& model : nn::model_list()) names.push_back(model.name);
  return names;
}

class Widen : public ::testing::TestWithParam<std::string> {};

TEST_P(Widen, ByCopiesComputesTheSame) {
  const nn::ModelOptions options = small_options(GetParam());
  for (const double factor : {1.4, 2.0}) {
    const auto model = nn::make_model(GetParam(), options);
    randomize(*model, 1);
    model->to(DType::F64);
    const Variable one = in_float64(random_input(GetParam(), options, 1));
    const Variable x = in_float64(random_input(GetParam(), options, 3));
    const auto wide = model->clone();
    const auto groups = groups_of(*wide, one);
    const ResizeReport report = widen(*wide, one, widths_times(groups, factor), {.seed = 3});
    EXPECT_GT(report.params, report.params_before);
    EXPECT_GT(report.channels, report.channels_before);
    const Tensor before = logits(*model, x);
    EXPECT_LT(largest_difference(before, logits(*wide, x)), kExactTolerance * scale_of(before));
    // Every group has the width that was asked for, read from the network itself.
    const auto after = groups_of(*wide, one);
    ASSERT_EQ(after.size(), groups.size());
    for (size_t g = 0; g < groups.size(); ++g) {
      EXPECT_EQ(after[g].channels, widths_times(groups, factor)[g]) << groups[g].name;
      EXPECT_EQ(after[g].name, groups[g].name);
    }
  }
}

TEST_P(Widen, KeepsMasksAndWhatTheyMakeOfTheNetwork) {
  const nn::ModelOptions options = small_options(GetParam());
  const auto model = nn::make_model(GetParam(), options);
  randomize(*model, 1);
  model->to(DType::F64);
  for (const nn::NamedParameter& one : nn::prunable_parameters(*model)) {
    Tensor mask = Tensor::ones(one.parameter->shape(), DType::U8);
    Rng rng(2, one.name);
    for (int64_t i = 0; i < mask.numel(); ++i) mask.data<uint8_t>()[i] = rng.below(3) > 0 ? 1 : 0;
    one.parameter->set_mask(mask);
  }
  const Variable one = in_float64(random_input(GetParam(), options, 1));
  const Variable x = in_float64(random_input(GetParam(), options, 2));
  const auto wide = model->clone();
  const auto groups = groups_of(*wide, one);
  widen(*wide, one, widths_times(groups, 2.0));
  const Tensor before = logits(*model, x);
  EXPECT_LT(largest_difference(before, logits(*wide, x)), kExactTolerance * scale_of(before));
  for (const nn::NamedParameter& p : nn::prunable_parameters(*wide)) {
    EXPECT_TRUE(p.parameter->masked()) << p.name;
  }
  // Twice as wide and as sparse: what stays zero in copies can be cut out again.
  const nn::ModelCount count = nn::count_model(*wide, one);
  EXPECT_NEAR(count.sparsity(), nn::count_model(*model, one).sparsity(), 0.05);
}

TEST_P(Widen, SurvivesSavingAndLoadingWithoutBeingTold) {
  const nn::ModelOptions options = small_options(GetParam());
  const auto model = nn::make_model(GetParam(), options);
  const Variable one = random_input(GetParam(), options, 1);
  widen(*model, one, widths_times(groups_of(*model, one), 1.5));
  const std::filesystem::path path =
      std::filesystem::path(::testing::TempDir()) / (GetParam() + "_wide.safetensors");
  nn::save_model(path, GetParam(), options, *model);
  const nn::SavedModel loaded = nn::load_model(path);
  std::filesystem::remove(path);
  EXPECT_EQ(largest_difference(logits(*model, one), logits(*loaded.module, one)), 0.0);
}

INSTANTIATE_TEST_SUITE_P(Zoo, Widen, ::testing::ValuesIn(all_models()), [](const auto& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

/// linear 2>2, ReLU, linear 2>1, no biases.
std::unique_ptr<nn::Sequential> two_layers() {
  auto net = std::make_unique<nn::Sequential>();
  auto& first = net->add(nn::Linear({.in = 2, .out = 2, .bias = false}));
  net->add(nn::ReLU());
  auto& second = net->add(nn::Linear({.in = 2, .out = 1, .bias = false}));
  first.weight.value.value().copy_(Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
  second.weight.value.value().copy_(Tensor::from<float>({1, 2}, {6, 12}));
  return net;
}

TEST(WidenByHand, ReadersShareTheWeightOfACopiedChannel) {
  const auto net = two_layers();
  const Variable one(Tensor::zeros({1, 2}));
  const auto groups = groups_of(*net, one);
  ASSERT_EQ(groups.size(), 2u);  // the hidden units, and the output
  ASSERT_EQ(groups[0].channels, 2);
  // Five of two: one unit is there twice, the other three times.
  widen(*net, one, {5, 1});
  const auto w = net->parameter("0.weight").value.value().to_vector<float>();
  const auto v = net->parameter("2.weight").value.value().to_vector<float>();
  ASSERT_EQ(w.size(), 10u);
  const bool first_twice = w[4] == 3.0F;
  EXPECT_EQ(w,
            first_twice ? (std::vector<float>{1, 2, 1, 2, 3, 4, 3, 4, 3, 4})
                        : (std::vector<float>{1, 2, 1, 2, 1, 2, 3, 4, 3, 4}));
  EXPECT_EQ(
      v, first_twice ? (std::vector<float>{3, 3, 4, 4, 4}) : (std::vector<float>{2, 2, 2, 6, 6}));
}

TEST(WidenByHand, APlaneIsCopiedAsAWholeBehindAFlattening) {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 1, .out_channels = 2, .kernel = 1, .bias = false}));
  net->add(nn::Flatten());
  auto& fc = net->add(nn::Linear({.in = 8, .out = 1, .bias = false}));
  fc.weight.value.value().copy_(Tensor::from<float>({1, 8}, {2, 4, 6, 8, 10, 12, 14, 16}));
  widen(*net, Variable(Tensor::zeros({1, 1, 2, 2})), {4, 1});
  EXPECT_EQ(fc.weight.value.value().to_vector<float>(),
            (std::vector<float>{1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8}));
}

TEST(WidenByHand, SeedChoosesWhichChannelsAreCopied) {
  const Variable one(Tensor::zeros({1, 192}));
  std::vector<std::vector<float>> weights;
  for (const uint64_t seed : {1, 1, 2}) {
    const auto net = testing::tiny_mlp();
    const auto groups = groups_of(*net, one);
    widen(*net, one, widths_times(groups, 1.5), {.seed = seed});
    weights.push_back(net->parameter("1.weight").value.value().to_vector<float>());
  }
  EXPECT_EQ(weights[0], weights[1]);
  EXPECT_NE(weights[0], weights[2]);
}

TEST(WidenByHand, NoiseMovesTheFiltersOfCopiesAlone) {
  const Variable one(Tensor::zeros({1, 2}));
  const auto net = two_layers();
  widen(*net, one, {4, 1}, {.noise = 0.1, .seed = 1});
  const auto w = net->parameter("0.weight").value.value().to_vector<float>();
  EXPECT_EQ((std::vector<float>{w[0], w[1], w[4], w[5]}), (std::vector<float>{1, 2, 3, 4}));
  for (const size_t copy : {2, 3, 6, 7}) {
    EXPECT_NE(w[copy], w[copy - 2]);
    EXPECT_LT(std::abs(w[copy] - w[copy - 2]), 1.0F);
  }
  EXPECT_EQ(net->parameter("2.weight").value.value().to_vector<float>(),
            (std::vector<float>{3, 3, 6, 6}));
}

TEST(WidenFresh, GrownChannelsBeginWithInitialValuesAndTheOthersKeepTheirs) {
  const auto net = testing::tiny_conv_net();
  randomize(*net, 4);
  Tensor mask = Tensor::ones({8, 3, 3, 3}, DType::U8);
  mask.slice(0, 0, 8).fill_(0.0);
  net->parameter("0.weight").set_mask(mask);
  const Variable one(Tensor::zeros({1, 3, 8, 8}));
  const auto before = net->state_dict();
  const auto groups = groups_of(*net, one);
  widen(*net, one, {16, 16, 3}, {.fresh = Fresh::Grown, .seed = 5});
  const auto fresh = net->clone();
  for (const nn::NamedParameter& p : fresh->named_parameters()) p.parameter->set_support(nullptr);
  nn::init_parameters(*fresh, 5);
  const auto scale = net->parameter("1.weight").value.value().to_vector<float>();
  const auto old_scale = before.at("1.weight").to_vector<float>();
  const auto filters = net->parameter("0.weight").value.value().to_vector<float>();
  const auto drawn = fresh->parameter("0.weight").value.value().to_vector<float>();
  const std::vector<int> kept = testing::mask_of(net->parameter("0.weight"));
  for (size_t c = 0; c < 8; ++c) {
    EXPECT_EQ(scale[2 * c], old_scale[c]);
    EXPECT_EQ(scale[2 * c + 1], 1.0F);  // as batch norm begins
    for (size_t i = 0; i < 27; ++i) {
      EXPECT_EQ(kept[2 * c * 27 + i], 0);
      EXPECT_EQ(kept[(2 * c + 1) * 27 + i], 1);
      EXPECT_EQ(filters[(2 * c + 1) * 27 + i], drawn[(2 * c + 1) * 27 + i]);
    }
  }
}

TEST(WidenFresh, AllIsTheWidthsAlone) {
  const Variable one(Tensor::zeros({1, 3, 8, 8}));
  std::vector<std::map<std::string, Tensor>> states;
  for (const uint64_t weights : {3, 9}) {
    const auto net = testing::tiny_conv_net(weights);
    widen(*net, one, {12, 20, 3}, {.fresh = Fresh::All, .seed = 2});
    states.push_back(net->state_dict());
  }
  for (const auto& [name, tensor] : states[0]) {
    EXPECT_EQ(largest_difference(tensor, states[1].at(name)), 0.0) << name;
  }
}

TEST(WidenLimits, WidthsAreChecked) {
  const auto net = two_layers();
  const Variable one(Tensor::zeros({1, 2}));
  EXPECT_THROW(widen(*net, one, {3}), ValueError);
  EXPECT_THROW(widen(*net, one, {1, 1}), ValueError);
  EXPECT_THROW(widen(*net, one, {2, 2}), ValueError);  // outputs of the network
  EXPECT_THROW(widen(*net, one, {3, 1}, {.noise = -1.0}), ValueError);
  EXPECT_THROW(widen(*net, one, {3, 1}, {.fresh = Fresh::All, .noise = 0.1}), ValueError);
  EXPECT_THROW(widths_times(groups_of(*net, one), 0.5), ValueError);
  EXPECT_EQ(net->parameter("0.weight").shape(), Shape({2, 2}));
}

TEST(WidenLimits, ADepthwiseConvolutionOfOneGroupIsNone) {
  // One channel in, one out: a convolution like others, whose sizes change apart.
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 1, .out_channels = 1, .kernel = 3, .padding = 1}));
  net->add(nn::Conv2d({.in_channels = 1, .out_channels = 2, .kernel = 3, .padding = 1}));
  widen(*net, Variable(Tensor::zeros({1, 1, 4, 4})), {3, 2});
  EXPECT_EQ(net->parameter("0.weight").shape(), Shape({3, 1, 3, 3}));
  EXPECT_EQ(net->parameter("1.weight").shape(), Shape({2, 3, 3, 3}));
}

TEST(WidestFactor, IsTheLargestWhoseNetworkFits) {
  // MACs of linear 192>a>b>3: 192 a + a b + 3 b; at a = 24, b = 12: 4932.
  const auto net = testing::tiny_mlp();
  const Variable one(Tensor::zeros({1, 192}));
  const auto budget = make_budget(BudgetKind::Macs, *net, {.input_shape = {3, 8, 8}}, 1);
  const Variable sample(Tensor::zeros({1, 3, 8, 8}));
  const double asked = 8000.0;
  const double factor = widest_factor(*net, sample, *budget, asked);
  const auto macs = [](double f) {
    const auto a = static_cast<int64_t>(f * 24.0 + 1e-9);
    const auto b = static_cast<int64_t>(f * 12.0 + 1e-9);
    return static_cast<double>(192 * a + a * b + 3 * b);
  };
  EXPECT_LE(macs(factor), asked);
  // The next width that changes is one of these.
  const double a = std::floor(factor * 24.0 + 1e-9);
  const double b = std::floor(factor * 12.0 + 1e-9);
  EXPECT_GT(macs(std::min((a + 1.0) / 24.0, (b + 1.0) / 12.0)), asked);
  const auto wide = net->clone();
  widen(*wide, sample, widths_times(groups_of(*wide, sample), factor));
  EXPECT_EQ(budget->cost(*wide), macs(factor));
  // Up to where the next width would change.
  const double none = widest_factor(*net, sample, *budget, 4932.0);
  EXPECT_EQ(macs(none), 4932.0);
  EXPECT_NEAR(none, 25.0 / 24.0, 1e-2);
  EXPECT_THROW(widest_factor(*net, sample, *budget, 4931.0), ValueError);
}

}  // namespace
}  // namespace espalier::prune
