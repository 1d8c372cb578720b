// SPDX-License-Identifier: Apache-2.0
// The zoo by its published numbers: parameters, MACs, names. Numbers with no source are worked out
// by hand in the comment beside them.
#include <gtest/gtest.h>

#include <set>

#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/models/registry.h>

namespace espalier::nn {
namespace {

int64_t parameters(Module& model) {
  int64_t sum = 0;
  for (const NamedParameter& p : model.named_parameters()) sum += p.parameter->numel();
  return sum;
}

int64_t parameters(std::string_view name, const ModelOptions& options = {}) {
  return parameters(*make_model(name, options));
}

int64_t dense_macs(std::string_view name, const ModelOptions& options = {}) {
  const auto model = make_model(name, options);
  return count_model(*model, example_input(name, options)).total.macs_dense;
}

std::set<std::string> names(Module& model) {
  std::set<std::string> result;
  for (const auto& [name, tensor] : model.state_dict()) result.insert(name);
  return result;
}

void add_norm(std::set<std::string>& names, const std::string& prefix) {
  for (const char* member : {".weight", ".bias", ".running_mean", ".running_var"}) {
    names.insert(prefix + member);
  }
}

void add_linear(std::set<std::string>& names, const std::string& prefix) {
  names.insert(prefix + ".weight");
  names.insert(prefix + ".bias");
}

const ModelOptions kMnist = {.image = {1, 28, 28}};

struct Published {
  const char* name;
  int64_t parameters;
  int64_t macs;
};

class CifarResNet : public testing::TestWithParam<Published> {};

TEST_P(CifarResNet, HasThePublishedNumbers) {
  EXPECT_EQ(parameters(GetParam().name), GetParam().parameters);
  EXPECT_EQ(dense_macs(GetParam().name), GetParam().macs);
}

INSTANTIATE_TEST_SUITE_P(Zoo,
                         CifarResNet,
                         testing::Values(Published{"resnet20", 269722, 40551040},
                                         Published{"resnet32", 464154, 68862592},
                                         Published{"resnet44", 658586, 97174144},
                                         Published{"resnet56", 853018, 125485696},
                                         Published{"resnet110", 1727962, 252887680}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Zoo, Vgg16HasThePublishedNumbers) {
  EXPECT_EQ(parameters("vgg16"), 14724042);
  EXPECT_EQ(dense_macs("vgg16"), 313201664);
}

TEST(Zoo, OtherVggsDifferByTheirExtraConvolutions) {
  // From VGG-16, per convolution c x c: 9*c*c weights and 2*c of the norm.
  const auto layer = [](int64_t c) { return 9 * c * c + 2 * c; };
  EXPECT_EQ(parameters("vgg19"), 14724042 + layer(256) + 2 * layer(512));
  EXPECT_EQ(parameters("vgg13"), 14724042 - layer(256) - 2 * layer(512));
  EXPECT_EQ(parameters("vgg11"), 14724042 - layer(256) - 2 * layer(512) - layer(64) - layer(128));
}

TEST(Zoo, LeNetsHaveThePublishedNumbers) {
  EXPECT_EQ(parameters("lenet-300-100", kMnist), 266610);
  EXPECT_EQ(dense_macs("lenet-300-100", kMnist), 784 * 300 + 300 * 100 + 100 * 10);
  EXPECT_EQ(parameters("lenet5", kMnist), 431080);
  EXPECT_EQ(dense_macs("lenet5", kMnist),
            24 * 24 * 20 * 25 + 8 * 8 * 50 * 20 * 25 + 800 * 500 + 500 * 10);
}

TEST(Zoo, ConvStacksMatchTheirTable) {
  // Convolutions 3x3 with bias, then pixels*channels - 256 - 256 - 10.
  const auto conv = [](int64_t in, int64_t out) { return 9 * in * out + out; };
  const auto head = [](int64_t in) { return in * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10; };
  const int64_t two = conv(3, 64) + conv(64, 64);
  const int64_t four = two + conv(64, 128) + conv(128, 128);
  const int64_t six = four + conv(128, 256) + conv(256, 256);
  EXPECT_EQ(parameters("conv2"), two + head(16 * 16 * 64));
  EXPECT_EQ(parameters("conv4"), four + head(8 * 8 * 128));
  EXPECT_EQ(parameters("conv6"), six + head(4 * 4 * 256));
  EXPECT_EQ(parameters("conv2"), 4301642);  // the paper says 4.3 M
  EXPECT_EQ(dense_macs("conv2"), (27 * 64 + 576 * 64) * 1024 + 16384 * 256 + 256 * 256 + 256 * 10);
}

TEST(Zoo, DeepResNetsHaveThePublishedNumbers) {
  EXPECT_EQ(parameters("resnet18"), 11173962);
  EXPECT_EQ(parameters("resnet34"), 21282122);
  EXPECT_EQ(parameters("resnet50"), 23520842);
}

TEST(Zoo, WideResNetsHaveThePublishedNumbers) {
  EXPECT_EQ(parameters("wrn-16-4"), 2748890);
  EXPECT_EQ(parameters("wrn-40-2"), 2243546);
  EXPECT_EQ(parameters("wrn-28-10"), 36479194);
}

TEST(Zoo, DenseNetHasThePublishedNumber) {
  EXPECT_EQ(parameters("densenet-bc-100-12"), 769162);
}

TEST(Zoo, MobileNetMatchesItsTableWorkedOut) {
  // Rows of the paper's table 2: expansion, channels, blocks, stride (of 32x32 images).
  const int64_t rows[7][4] = {{1, 16, 1, 1},
                              {6, 24, 2, 1},
                              {6, 32, 3, 2},
                              {6, 64, 4, 2},
                              {6, 96, 3, 1},
                              {6, 160, 3, 2},
                              {6, 320, 1, 1}};
  int64_t side = 32;
  int64_t in = 32;
  int64_t weights = 27 * 32;
  int64_t norms = 2 * 32;
  int64_t macs = 27 * 32 * side * side;
  for (const auto& row : rows) {
    for (int64_t i = 0; i < row[2]; ++i) {
      const int64_t hidden = in * row[0];
      const int64_t stride = i == 0 ? row[3] : 1;
      const int64_t out_side = side / stride;
      if (row[0] != 1) {
        weights += in * hidden;
        norms += 2 * hidden;
        macs += in * hidden * side * side;
      }
      weights += 9 * hidden + hidden * row[1];
      norms += 2 * hidden + 2 * row[1];
      macs += (9 * hidden + hidden * row[1]) * out_side * out_side;
      side = out_side;
      in = row[1];
    }
  }
  weights += 320 * 1280;
  norms += 2 * 1280;
  macs += 320 * 1280 * side * side + 1280 * 10;
  EXPECT_EQ(weights + norms + 1280 * 10 + 10, 2236682);  // torchvision's, with 10 classes
  EXPECT_EQ(parameters("mobilenetv2"), 2236682);
  EXPECT_EQ(dense_macs("mobilenetv2"), macs);
}

TEST(Zoo, TransformersMatchTheirFormula) {
  const auto block = [](int64_t dim, int64_t hidden) {
    return 4 * dim + 4 * (dim * dim + dim) + dim * hidden + hidden + hidden * dim + dim;
  };
  // ViT: patches of 4x4x3, 64 of them and the class token.
  EXPECT_EQ(parameters("vit"),
            48 * 192 + 192 + 192 + 65 * 192 + 6 * block(192, 768) + 2 * 192 + 192 * 10 + 10);
  EXPECT_EQ(dense_macs("vit"), 48 * 192 * 64 + 6 * 65 * (4 * 192 * 192 + 2 * 192 * 768) + 192 * 10);
  const ModelOptions text = {.num_classes = 65, .context = 32};
  EXPECT_EQ(parameters("gpt", text),
            65 * 128 + 32 * 128 + 4 * block(128, 512) + 2 * 128 + 128 * 65);
  EXPECT_EQ(dense_macs("gpt", text), 32 * (4 * (4 * 128 * 128 + 2 * 128 * 512) + 128 * 65));
}

TEST(Zoo, OptionBAddsProjections) {
  // 1x1 convolutions 16x32 and 32x64 and their norms.
  const ModelOptions b = {.shortcut = Shortcut::B};
  EXPECT_EQ(parameters("resnet20", b), 269722 + 16 * 32 + 64 + 32 * 64 + 128);
  EXPECT_EQ(dense_macs("resnet20", b), 40551040 + 16 * 32 * 256 + 32 * 64 * 64);
}

TEST(Zoo, WidthMultipliesHiddenChannels) {
  const auto model = make_model("vgg16", {.width = 0.25});
  EXPECT_EQ(model->parameter("features.0.weight").shape(), (Shape{16, 3, 3, 3}));
  EXPECT_EQ(model->parameter("features.40.weight").shape(), (Shape{128, 128, 3, 3}));
  EXPECT_EQ(model->parameter("classifier.weight").shape(), (Shape{10, 128}));
  const auto resnet = make_model("resnet20", {.width = 0.25});
  EXPECT_EQ(resnet->parameter("layer3.0.conv1.weight").shape(), (Shape{16, 8, 3, 3}));
}

TEST(ZooNames, CifarResNet) {
  std::set<std::string> expected = {"conv1.weight"};
  add_norm(expected, "bn1");
  for (int layer = 1; layer <= 3; ++layer) {
    for (int block = 0; block < 3; ++block) {
      const std::string prefix =
          "layer" + std::to_string(layer) + "." + std::to_string(block) + ".";
      expected.insert(prefix + "conv1.weight");
      expected.insert(prefix + "conv2.weight");
      add_norm(expected, prefix + "bn1");
      add_norm(expected, prefix + "bn2");
    }
  }
  add_linear(expected, "fc");
  EXPECT_EQ(names(*make_model("resnet20")), expected);
  for (const char* prefix : {"layer2.0.downsample.", "layer3.0.downsample."}) {
    expected.insert(std::string(prefix) + "0.weight");
    add_norm(expected, std::string(prefix) + "1");
  }
  EXPECT_EQ(names(*make_model("resnet20", {.shortcut = Shortcut::B})), expected);
}

TEST(ZooNames, Vgg16NumbersItsFeaturesAsTorchvision) {
  std::set<std::string> expected;
  for (const int i : {0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40}) {
    expected.insert("features." + std::to_string(i) + ".weight");
    add_norm(expected, "features." + std::to_string(i + 1));
  }
  add_linear(expected, "classifier");
  EXPECT_EQ(names(*make_model("vgg16")), expected);
}

TEST(ZooNames, Bottleneck) {
  const std::set<std::string> all = names(*make_model("resnet50", {.width = 0.125}));
  for (const char* name : {"layer1.0.conv1.weight",
                           "layer1.0.conv3.weight",
                           "layer1.0.bn3.running_var",
                           "layer1.0.downsample.0.weight",
                           "layer1.0.downsample.1.running_mean",
                           "layer4.2.conv3.weight",
                           "fc.bias"}) {
    EXPECT_TRUE(all.contains(name)) << name;
  }
  EXPECT_FALSE(all.contains("layer1.1.downsample.0.weight"));
  // 53 convolutions, a norm of four tensors for each, and the linear layer.
  EXPECT_EQ(all.size(), 53u + 53u * 4u + 2u);
}

TEST(ZooNames, SmallNets) {
  const std::set<std::string> lenet = {"conv1.weight",
                                       "conv1.bias",
                                       "conv2.weight",
                                       "conv2.bias",
                                       "fc1.weight",
                                       "fc1.bias",
                                       "fc2.weight",
                                       "fc2.bias"};
  EXPECT_EQ(names(*make_model("lenet5", kMnist)), lenet);
  const std::set<std::string> dense = {
      "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias"};
  EXPECT_EQ(names(*make_model("lenet-300-100", kMnist)), dense);
  std::set<std::string> conv4;
  for (const char* layer : {"features.0",
                            "features.2",
                            "features.5",
                            "features.7",
                            "classifier.0",
                            "classifier.2",
                            "classifier.4"}) {
    add_linear(conv4, layer);
  }
  EXPECT_EQ(names(*make_model("conv4")), conv4);
}

TEST(ZooNames, MobileNetAsInTorchvision) {
  std::set<std::string> expected = {"features.0.0.weight", "features.18.0.weight"};
  add_norm(expected, "features.0.1");
  add_norm(expected, "features.18.1");
  for (int i = 1; i <= 17; ++i) {
    const std::string conv = "features." + std::to_string(i) + ".conv.";
    // The first block has no expansion.
    const int last = i == 1 ? 1 : 2;
    for (int part = 0; part < last; ++part) {
      expected.insert(conv + std::to_string(part) + ".0.weight");
      add_norm(expected, conv + std::to_string(part) + ".1");
    }
    expected.insert(conv + std::to_string(last) + ".weight");
    add_norm(expected, conv + std::to_string(last + 1));
  }
  add_linear(expected, "classifier.1");
  EXPECT_EQ(names(*make_model("mobilenetv2", {.width = 0.25})), expected);
}

TEST(ZooNames, DenseNetAsInTorchvision) {
  std::set<std::string> expected = {"features.conv0.weight"};
  for (int block = 1; block <= 3; ++block) {
    for (int layer = 1; layer <= 6; ++layer) {
      const std::string prefix = "features.denseblock" + std::to_string(block) + ".denselayer" +
                                 std::to_string(layer) + ".";
      for (const char* part : {"1", "2"}) {
        add_norm(expected, prefix + "norm" + part);
        expected.insert(prefix + "conv" + part + ".weight");
      }
    }
    if (block == 3) continue;
    const std::string prefix = "features.transition" + std::to_string(block) + ".";
    add_norm(expected, prefix + "norm");
    expected.insert(prefix + "conv.weight");
  }
  add_norm(expected, "features.norm5");
  add_linear(expected, "classifier");
  EXPECT_EQ(names(*make_model("densenet-bc-40-12")), expected);
}

TEST(Registry, NamesIgnoreCaseAndHyphens) {
  EXPECT_EQ(canonical_model_name("ResNet-20"), "resnet20");
  EXPECT_EQ(canonical_model_name("vgg16_bn"), "vgg16");
  EXPECT_EQ(canonical_model_name("VGG-16-BN"), "vgg16");
  EXPECT_EQ(canonical_model_name("LeNet_300_100"), "lenet-300-100");
  EXPECT_EQ(canonical_model_name("WRN-22-2"), "wrn-22-2");
}

TEST(Registry, UnknownNameIsAnErrorWithTheNearest) {
  try {
    make_model("resnet21");
    FAIL() << "made a model that does not exist";
  } catch (const ValueError& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("Did you mean resnet20"), std::string::npos) << text;
    EXPECT_NE(text.find("mobilenetv2"), std::string::npos) << text;
  }
  EXPECT_THROW(make_model("wrn-27-1"), ValueError);
  EXPECT_THROW(make_model("densenet-bc-41-12"), ValueError);
  EXPECT_THROW(make_model(""), ValueError);
}

TEST(Registry, AnUnknownNameFarFromAllIsNotTakenForAnother) {
  try {
    make_model("foo");
    FAIL() << "made a model that does not exist";
  } catch (const ValueError& e) {
    const std::string text = e.what();
    EXPECT_EQ(text.find("Did you mean"), std::string::npos) << text;
    EXPECT_NE(text.find("Known: "), std::string::npos) << text;
  }
}

TEST(Registry, BadOptionsAreErrors) {
  EXPECT_THROW(make_model("vgg16", {.width = 0.0}), ValueError);
  EXPECT_THROW(make_model("resnet20", {.num_classes = 0}), ValueError);
  EXPECT_THROW(make_model("lenet5", {.image = {1, 8, 8}}), ValueError);
  EXPECT_THROW(make_model("vit", {.image = {3, 30, 30}}), ValueError);
}

TEST(Registry, SameSeedSameWeights) {
  const auto values = [](uint64_t seed) {
    return make_model("resnet20", {.seed = seed})
        ->parameter("layer2.0.conv1.weight")
        .value.value()
        .to_vector<float>();
  };
  EXPECT_EQ(values(3), values(3));
  EXPECT_NE(values(3), values(4));
}

TEST(Registry, EveryListedModelRunsOnItsExampleInput) {
  for (const ModelInfo& info : model_list()) {
    // The largest ones run in their own time; their widths differ from these only.
    if (info.name == "wrn-28-10" || info.name == "wrn-16-8") continue;
    SCOPED_TRACE(info.name);
    const ModelOptions options = {.num_classes = 7, .width = 0.125, .context = 8};
    const auto model = make_model(info.name, options);
    model->eval();
    const NoGrad no_grad;
    const Variable y = (*model)(example_input(info.name, options, 2));
    EXPECT_EQ(y.shape(), info.input == InputKind::Tokens ? (Shape{2, 8, 7}) : (Shape{2, 7}));
  }
}

TEST(Registry, TakesAModelOfAProgramsOwn) {
  register_model({.name = "test-perceptron", .title = "one layer"},
                 [](const ModelOptions& o) -> std::unique_ptr<Module> {
                   return std::make_unique<Sequential>(
                       Flatten(), Linear({.in = o.image.numel(), .out = o.num_classes}));
                 });
  EXPECT_EQ(model_list().back().name, "test-perceptron");
  const ModelOptions options{.num_classes = 3, .image = {1, 2, 2}, .seed = 5};
  const auto model = make_model("Test_Perceptron", options);
  EXPECT_EQ((*model)(example_input("test-perceptron", options, 2)).shape(), (Shape{2, 3}));
  const SavedModel again =
      model_of_description(describe_model("test-perceptron", options, *model), "test");
  EXPECT_EQ(again.name, "test-perceptron");
  const auto none = [](const ModelOptions&) { return std::unique_ptr<Module>(); };
  EXPECT_THROW(register_model({.name = "ResNet_20", .title = "A test"}, none), ValueError);
  EXPECT_THROW(register_model({.name = "-", .title = "A test"}, none), ValueError);
  EXPECT_THROW(register_model({.name = "empty", .title = "A test"}, {}), ValueError);
}

}  // namespace
}  // namespace espalier::nn
