// SPDX-License-Identifier: Apache-2.0
/// No output of a network is ever without weights: every method with every structured pattern, on
/// networks of all families of the zoo. Which weights are an output's own is asked of derivatives,
/// not of names or places.
#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/tests/zoo.h>
#include <espalier/prune/update/mask_update.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

constexpr int64_t kClasses = 3;

struct Case {
  std::string model;
  std::string method;
  std::string pattern;
};

nn::ModelOptions options_of(const std::string& model) {
  nn::ModelOptions options = small_options(model);
  options.num_classes = kClasses;
  if (options.image.height == 16) options.image = {3, 8, 8};
  if (model.starts_with("vgg")) options.width = 0.125;
  return options;
}

/// Twelve images that fit the model, four of each class.
class FewImages : public data::Dataset {
 public:
  explicit FewImages(const data::ImageShape& image) : image_(image) {}
  std::string name() const override { return "few"; }
  int64_t size() const override { return 12; }
  data::ImageShape image_shape() const override { return image_; }
  const std::vector<std::string>& class_names() const override { return names_; }
  void read(int64_t index, std::span<uint8_t> pixels) const override {
    Rng rng = Rng(7, "few").fork(static_cast<uint64_t>(index));
    for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(rng.below(256));
  }
  int64_t label(int64_t index) const override { return index % kClasses; }
  std::vector<float> mean() const override { return std::vector<float>(channels(), 0.5F); }
  std::vector<float> stddev() const override { return std::vector<float>(channels(), 0.25F); }

 private:
  size_t channels() const { return static_cast<size_t>(image_.channels); }

  data::ImageShape image_;
  std::vector<std::string> names_ = {"a", "b", "c"};
};

/// By output: the entries of weights (name, position) on which that output depends and no other.
std::vector<std::map<std::string, std::vector<size_t>>> own_weights(const std::string& name) {
  const nn::ModelOptions options = options_of(name);
  const auto model = nn::make_model(name, options);
  model->to(DType::F64);
  randomize(*model, 3);
  // Of positive numbers alone no ReLU is shut, and so small that none is full (ReLU6).
  for (const nn::NamedParameter& p : model->named_parameters()) {
    Tensor& value = p.parameter->value.value();
    auto* v = value.data<double>();
    for (int64_t i = 0; i < value.numel(); ++i) v[i] = 0.1 * std::abs(v[i]) + 1e-3;
  }
  for (const nn::NamedBuffer& b : model->named_buffers()) {
    if (b.name.ends_with("mean")) b.buffer->fill_(0.0);
  }
  model->eval();
  const std::vector<nn::NamedParameter> weights = prunable_weights(*model);
  std::vector<Variable> values;
  for (const nn::NamedParameter& one : weights) values.push_back(one.parameter->value);
  Variable x = in_float64(random_input(name, options, 2));
  for (int64_t i = 0; i < x.value().numel(); ++i) {
    double& value = x.value().data<double>()[i];
    value = std::abs(value);
  }
  std::vector<std::vector<std::vector<double>>> gradients;  // by output and weight
  for (int64_t o = 0; o < kClasses; ++o) {
    const RecordingScope recording(true);
    const Variable y = sum(slice((*model)(x), 1, o, o + 1));
    gradients.emplace_back();
    for (const Variable& g : grad({y}, values)) {
      gradients.back().push_back(g.value().to_vector<double>());
    }
  }
  std::vector<std::map<std::string, std::vector<size_t>>> own(kClasses);
  for (size_t w = 0; w < weights.size(); ++w) {
    for (size_t i = 0; i < gradients[0][w].size(); ++i) {
      std::set<size_t> depend;
      for (size_t o = 0; o < kClasses; ++o) {
        if (gradients[o][w][i] != 0.0) depend.insert(o);
      }
      if (depend.size() == 1) own[*depend.begin()][weights[w].name].push_back(i);
    }
  }
  return own;
}

class Outputs : public ::testing::TestWithParam<std::string> {};

/// Of a MobileNetV2 less: gradients grow by 1/sqrt(eps) at every norm of dead channels, and behind
/// enough of its 52 they leave float32.
std::string sparsity_of(const Case& one) {
  if (one.model == "mobilenetv2") return "0.3";
  return one.pattern.find('x') == std::string::npos ? "0.6" : "0.5";
}

/// Prunes as the method does in a training of two steps.
void prune(nn::Module& model, const Case& one) {
  const Method& chosen = method(one.method);
  std::map<std::string, std::string> given = {
      {"pattern", one.pattern},
      {"sparsity", sparsity_of(one)},
      {"min-per-layer", "1"},
      {"allow-collapse", "true"}};  // so small networks are cut elsewhere; outputs must stay
  for (const Option& option : chosen.options) {
    if (option.name == "rounds") given[option.name] = "2";
    if (option.name == "batches") given[option.name] = "1";
    if (option.name == "episodes") given[option.name] = "2";
    if (option.name == "repair-steps") given[option.name] = "2";
    if (option.name == "samples-per-class") given[option.name] = "2";
  }
  const auto hook = make_pruner(one.method, parse_settings(chosen, given), {.seed = 4});
  const nn::ModelOptions options = options_of(one.model);
  data::Loader loader(std::make_shared<FewImages>(options.image),
                      {.batch_size = 6, .shuffle = true, .seed = 1, .workers = 0});
  nn::Sgd sgd(model, {.lr = 1e-3});
  nn::fit(model, sgd, nn::ConstantLr(1e-3), loader, {hook.get()}, {.epochs = 1});
  EXPECT_GT(hook->updates().back().sparsity().value(), 0.1);
}

/// The method's patterns but `unstructured` and N:M, and blocks of many forms where it has one.
std::vector<std::string> structured_patterns(const Method& chosen) {
  std::vector<std::string> patterns;
  for (const std::string& one : chosen.patterns) {
    if (one != "unstructured" && make_pattern(one)->cell().size == 0) patterns.push_back(one);
  }
  if (std::ranges::count(patterns, "4x1") > 0) {
    for (const char* block : {"1x4", "1x8", "2x8", "4x8", "8x8"}) patterns.emplace_back(block);
  }
  return patterns;
}

bool repairs(const Method& method) {
  const auto update = last_update_of(choose_method(method, OptionTexts()).timeline());
  return update && update->repair;
}

TEST_P(Outputs, KeepWeightsOfTheirOwn) {
  const auto own = own_weights(GetParam());
  for (const auto& of_output : own) ASSERT_FALSE(of_output.empty());
  std::set<std::string> seen;
  int cases = 0;
  for (const Method& chosen : methods()) {
    if (chosen.when == When::Runtime || chosen.facts().stays) continue;  // mask nothing
    for (const std::string& pattern : structured_patterns(chosen)) {
      const bool norms = !GetParam().starts_with("lenet");
      if (chosen.facts().needs_norm && !norms) continue;
      // A minute for the 1280 channels before the classifier; six other families have it.
      if (repairs(chosen) && GetParam() == "mobilenetv2") continue;
      SCOPED_TRACE(cat(chosen.name, " ", pattern));
      const auto model = nn::make_model(GetParam(), options_of(GetParam()));
      prune(*model, {GetParam(), chosen.name, pattern});
      ++cases;
      seen.insert(pattern);
      for (size_t o = 0; o < own.size(); ++o) {
        int64_t left = 0;
        for (const auto& [name, entries] : own[o]) {
          const std::vector<int> mask = testing::mask_of(model->parameter(name));
          for (const size_t i : entries) left += mask[i];
        }
        EXPECT_GT(left, 0) << "output " << o;
      }
    }
  }
  EXPECT_GT(cases, 80);
  for (const char* pattern : {"kernel", "1x4", "1x8", "4x1", "8x1", "2x8", "4x8", "8x8"}) {
    EXPECT_TRUE(seen.contains(pattern)) << pattern;
  }
  for (const char* pattern : {"filter", "stripe", "channel"}) {
    EXPECT_TRUE(seen.contains(pattern)) << pattern;
  }
}

INSTANTIATE_TEST_SUITE_P(Families,
                         Outputs,
                         ::testing::Values("lenet-300-100",
                                           "vgg11",
                                           "resnet20",
                                           "resnet18",
                                           "wrn-16-4",
                                           "mobilenetv2",
                                           "densenet-bc-40-12"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(OutputRows, OfANetworkThatEndsInAConvolutionStayToo) {
  // A fully convolutional network: the last convolution's mean over positions is the output.
  for (const char* pattern : {"filter", "stripe", "layer"}) {
    nn::Sequential net;
    net.add(nn::Conv2d({.in_channels = 3, .out_channels = 8, .kernel = 3, .padding = 1}));
    net.add(nn::ReLU());
    net.add(nn::Conv2d({.in_channels = 8, .out_channels = 4, .kernel = 1}));
    net.add(nn::AdaptiveAvgPool2d(1, 1));
    testing::randomize(net, 2);
    net.parameter("2.weight").value.value().fill_(1e-9);  // the first to go by magnitude
    const PruneSettings settings = {.pattern = pattern};
    const PruneInputs inputs = {.input_shape = {3, 8, 8}};
    MaskUpdate update(net, make_pattern(pattern), settings, inputs, {});
    ASSERT_EQ(update.sites().size(), 1U) << pattern;
    EXPECT_EQ(update.sites()[0].name, "0.weight");
    ASSERT_EQ(update.report().notes.size(), 1U);
    EXPECT_EQ(update.report().notes[0], "2.weight keeps its rows: they are the network's outputs");
  }
}

TEST(OutputRows, AreNoUnitsOfSingleWeightsAndOfBlocks) {
  for (const char* pattern : {"unstructured", "4x1", "2:4"}) {
    const auto net = testing::tiny_mlp();
    const PruneSettings settings = {.pattern = pattern};
    const PruneInputs inputs = {.input_shape = {3, 8, 8}};
    MaskUpdate update(*net, make_pattern(pattern), settings, inputs, {});
    EXPECT_EQ(update.sites().size(), 3U) << pattern;
  }
}

TEST(OutputRows, CantBeToldWithoutASample) {
  const auto net = testing::tiny_mlp();
  const PruneSettings settings = {.pattern = "filter"};
  EXPECT_THROW(MaskUpdate(*net, make_pattern("filter"), settings, {}, {}), ValueError);
}

TEST(OutputRows, OnlyLayerWithAPatternOfFiltersIsAnError) {
  const auto net = testing::linear_chain({{{2, 3}, {1, 2, 3, 4, 5, 6}}});
  const PruneSettings settings = {.pattern = "filter"};
  const PruneInputs inputs = {.input_shape = {3}};
  EXPECT_THROW(MaskUpdate(*net, make_pattern("filter"), settings, inputs, {}), ValueError);
}

}  // namespace
}  // namespace espalier::prune
