// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include <espalier/core/safetensors.h>
#include <espalier/core/storage.h>
#include <espalier/nn/models/registry.h>

namespace espalier::nn {
namespace {

/// A file that goes with the test.
class SavedModels : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ =
        std::filesystem::path(testing::TempDir()) / (cat("saved_", info->name()) + ".safetensors");
  }
  void TearDown() override { std::filesystem::remove(path_); }

  /// Saves a small ResNet whose description has `from` replaced by `to`.
  void save_with(std::string_view from, std::string_view to) {
    const ModelOptions options = {.width = 0.25, .shortcut = Shortcut::B};
    const auto model = make_model("resnet20", options);
    save_model(path_, "resnet20", options, *model);
    SafetensorsFile file = load_safetensors(path_);
    std::string& text = file.metadata.at("architecture");
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at, from.size(), to);
    save_safetensors(path_, file);
  }

  std::filesystem::path path_;
};

TEST_F(SavedModels, ComeBackWithNameOptionsValuesAndMasks) {
  const ModelOptions options = {
      .num_classes = 7, .image = {1, 32, 32}, .seed = 5, .width = 0.25, .shortcut = Shortcut::B};
  const auto model = make_model("ResNet-20", options);
  Parameter& weight = model->parameter("layer2.0.conv1.weight");
  Tensor mask = Tensor::ones(weight.shape(), DType::U8);
  mask.data<uint8_t>()[3] = 0;
  weight.set_mask(mask);
  save_model(path_, "ResNet-20", options, *model);

  const SavedModel loaded = load_model(path_);
  EXPECT_EQ(loaded.name, "resnet20");
  EXPECT_EQ(loaded.options.num_classes, 7);
  EXPECT_EQ(loaded.options.image, options.image);
  EXPECT_EQ(loaded.options.seed, 5u);
  EXPECT_EQ(loaded.options.width, 0.25);
  EXPECT_EQ(loaded.options.shortcut, Shortcut::B);
  const auto expected = model->state_dict();
  const auto got = loaded.module->state_dict();
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    EXPECT_EQ(got.at(name).to_vector<double>(), tensor.to_vector<double>()) << name;
  }
  EXPECT_EQ(loaded.module->parameter("layer2.0.conv1.weight").nnz(), weight.numel() - 1);
}

TEST_F(SavedModels, KeepTheirStem) {
  const ModelOptions options = {.width = 0.125, .stem = Stem::ImageNet};
  const auto model = make_model("resnet18", options);
  save_model(path_, "resnet18", options, *model);
  const SavedModel loaded = load_model(path_);
  EXPECT_EQ(loaded.options.stem, Stem::ImageNet);
  EXPECT_EQ(loaded.module->parameter("conv1.weight").shape(), (Shape{8, 3, 7, 7}));
  // MobileNetV2's tensors are the same for both, and what it computes is not.
  const auto small = make_model("mobilenetv2", {.width = 0.125});
  const auto large = make_model("mobilenetv2", options);
  large->load_state_dict(small->state_dict());
  save_model(path_, "mobilenetv2", options, *large);
  const auto outputs = [](Module& module) {
    module.eval();
    return module(Variable(Tensor::ones({1, 3, 32, 32}))).value().to_vector<double>();
  };
  EXPECT_EQ(outputs(*load_model(path_).module), outputs(*large));
  EXPECT_NE(outputs(*small), outputs(*large));
}

TEST_F(SavedModels, FromBeforeThereWereStemsAreSmall) {
  save_with("\"stem\":\"small\",", "");
  EXPECT_EQ(load_model(path_).options.stem, Stem::Small);
}

TEST_F(SavedModels, KeepTheNamesOfTheirClasses) {
  const ModelOptions options = {
      .num_classes = 3, .width = 0.25, .class_names = {"boat", "\"car\"", "Straße"}};
  const auto model = make_model("resnet20", options);
  save_model(path_, "resnet20", options, *model);
  EXPECT_EQ(load_model(path_).options.class_names, options.class_names);
  ModelOptions nameless = options;
  nameless.class_names.clear();
  save_model(path_, "resnet20", nameless, *model);
  EXPECT_TRUE(load_model(path_).options.class_names.empty());
  ModelOptions wrong = options;
  wrong.class_names.pop_back();
  EXPECT_THROW(save_model(path_, "resnet20", wrong, *model), ValueError);
}

TEST_F(SavedModels, FileWithoutDescriptionSaysWhatToDo) {
  save_safetensors(path_, {{{"fc.weight", Tensor::ones({2, 2})}}, {}});
  try {
    load_model(path_);
    FAIL() << "loaded a file without a description";
  } catch (const IoError& e) {
    EXPECT_NE(std::string(e.what()).find("load_state_dict"), std::string::npos) << e.what();
  }
}

TEST_F(SavedModels, BadDescriptionsAreErrorsThatNameTheFile) {
  const std::pair<const char*, const char*> changes[] = {
      {"{", ""},                                           // no JSON
      {"\"model\":\"resnet20\"", "\"model\":\"resnet\""},  // unknown
      {"\"model\":\"resnet20\"", "\"model\":3"},           // not a text
      {"\"num_classes\":10", "\"num_classes\":-1"},
      {"\"num_classes\":10", "\"num_classes\":9000000000000000000"},
      {"\"image\":[3,32,32]", "\"image\":[3,1000000,1000000]"},
      {"\"image\":[3,32,32]", "\"image\":[3]"},
      {"\"width\":0.25", "\"width\":1e300"},
      {"\"shortcut\":\"B\"", "\"shortcut\":\"C\""},
      {"\"stem\":\"small\"", "\"stem\":\"large\""},
      {"\"stem\":\"small\"", "\"stem\":7"},
      {"\"stem\":\"small\"", "\"stem\":null"},
      {"\"version\":1", "\"version\":2"},
      {"\"layers\"", "\"layer\""},
      {"\"layer1.0.conv1\"", "\"layer9.0.conv1\""},
      {"\"groups\":1", "\"groups\":3"},
      {"\"in_channels\":", "\"input\":"},
      {"\"width\"", "\"classes\":[\"a\",\"b\"],\"width\""},  // of ten
      {"\"width\"", "\"classes\":[1,2,3,4,5,6,7,8,9,10],\"width\""},
      {"\"width\"", "\"classes\":\"abcdefghij\",\"width\""},
  };
  for (const auto& [from, to] : changes) {
    save_with(from, to);
    try {
      load_model(path_);
      ADD_FAILURE() << "loaded with " << to << " for " << from;
    } catch (const IoError& e) {
      EXPECT_NE(std::string(e.what()).find(path_.filename().string()), std::string::npos)
          << e.what();
    }
  }
}

// Files of some kilobytes whose networks would take gigabytes, or layers without end.
TEST_F(SavedModels, DescriptionsOfAbsurdNetworksAreErrors) {
  const std::pair<const char*, const char*> changes[] = {
      {"\"width\":0.25", "\"width\":64"},
      {"\"model\":\"resnet20\"", "\"model\":\"wrn-9994-1000\""},
      {"\"model\":\"resnet20\"", "\"model\":\"wrn-100000006-1\""},
      {"\"conv1\":{\"groups\":1,\"in_channels\":3,\"out_channels\":4",
       "\"conv1\":{\"groups\":1,\"in_channels\":1000000,\"out_channels\":1000000"},
  };
  for (const auto& [from, to] : changes) {
    save_with(from, to);
    const int64_t before = memory_stats().system_allocations;
    EXPECT_THROW(load_model(path_), IoError) << to;
    EXPECT_LT(memory_stats().system_allocations - before, 1 << 16) << to;
  }
}

TEST_F(SavedModels, TensorsThatDoNotFitTheDescriptionAreAnError) {
  save_with("\"conv1\":{\"groups\":1,\"in_channels\":3,\"out_channels\":4",
            "\"conv1\":{\"groups\":1,\"in_channels\":3,\"out_channels\":5");
  try {
    load_model(path_);
    ADD_FAILURE() << "read";
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find(path_.string()), std::string::npos) << error.what();
  }
}

TEST_F(SavedModels, ValuesThatNoReaderTakesAreNotWritten) {
  const ModelOptions options = {.width = 0.25};
  const auto model = make_model("resnet20", options);
  save_model(path_, "resnet20", options, *model);
  model->parameter("fc.bias").value.value().fill_(std::numeric_limits<double>::infinity());
  EXPECT_THROW(save_model(path_, "resnet20", options, *model), ValueError);
  EXPECT_NO_THROW(load_model(path_));  // the one before
}

}  // namespace
}  // namespace espalier::nn
