// SPDX-License-Identifier: Apache-2.0
// Stems and image sizes on the command line, weights from elsewhere for them, and memory that is
// known before a step.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <espalier/core/safetensors.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/run/step_memory.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::vector<std::string> kLarge = {"--model",
                                         "resnet18",
                                         "--stem",
                                         "imagenet",
                                         "--width",
                                         "0.0625",
                                         "--image-size",
                                         "48",
                                         "--epochs",
                                         "1"};

std::vector<std::string> joined(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(ImageSize, ARunTellsStemSizeAndMemoryAndItsModelKeepsThem) {
  const TemporaryFolder folder;
  const Outcome run = espalier_command(tiny_training(folder / "run", kLarge));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_TRUE(has(run.err, "a step of 16 samples needs about ")) << run.err;
  const auto json = nlohmann::json::parse(slurp(folder / "run/run.json"));
  EXPECT_EQ(json.at("settings").at("stem"), "imagenet");
  EXPECT_EQ(json.at("settings").at("image-size"), 48);
  EXPECT_GT(json.at("results").at("training_memory").get<int64_t>(), 1 << 20);

  const std::string weights = (folder / "run/model.safetensors").string();
  const nn::SavedModel model = nn::load_model(weights);
  EXPECT_EQ(model.options.stem, nn::Stem::ImageNet);
  EXPECT_EQ(model.options.image, (data::ImageShape{3, 48, 48}));
  const std::vector<std::string> eval = {
      "eval", "--weights", weights, "--data", "synth", "--test-size", "20", "--json"};
  const Outcome other_size = espalier_command(eval);
  EXPECT_EQ(other_size.code, kExitBadUse);
  EXPECT_TRUE(has(other_size.err, "--image-size scales the images of the data")) << other_size.err;
  const Outcome same = espalier_command(joined(eval, {"--image-size", "48"}));
  ASSERT_EQ(same.code, kExitOk) << same.err;
  EXPECT_EQ(same.json().at("accuracy"), json.at("results").at("accuracy"));
  const Outcome other_stem =
      espalier_command(joined(eval, {"--image-size", "48", "--stem", "small"}));
  EXPECT_EQ(other_stem.code, kExitBadUse);
  EXPECT_TRUE(has(other_stem.err, "--stem \"small\" was asked for")) << other_stem.err;
}

TEST(ImageSize, AKeyOfAFileAsksAsAFlagDoes) {
  const TemporaryFolder folder;
  const std::string config =
      folder.write("c.toml", "stem = \"imagenet\"\nimage-size = 40\n").string();
  const Outcome run = espalier_command(tiny_training(
      folder / "run", {"--model", "mobilenetv2", "--epochs", "0", "--config", config}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const nn::SavedModel model = nn::load_model(folder / "run/model.safetensors");
  EXPECT_EQ(model.options.stem, nn::Stem::ImageNet);
  EXPECT_EQ(model.options.image, (data::ImageShape{3, 40, 40}));
}

TEST(ImageSize, ANetworkWithOneStemRefusesTheOther) {
  const TemporaryFolder folder;
  for (const char* model : {"resnet20", "vgg16", "wrn-16-4"}) {
    const Outcome train =
        espalier_command(tiny_training(folder / "run", {"--model", model, "--stem", "imagenet"}));
    EXPECT_EQ(train.code, kExitBadUse);
    EXPECT_TRUE(has(train.err, cat("--stem imagenet: ", model, " has one stem"))) << train.err;
  }
  const Outcome bench =
      espalier_command({"bench", "infer", "--model", "vgg11", "--stem", "imagenet"});
  EXPECT_EQ(bench.code, kExitBadUse);
  EXPECT_TRUE(has(bench.err, "vgg11 has one stem")) << bench.err;
  const Outcome size = espalier_command(tiny_training(folder / "run", {"--image-size", "5000"}));
  EXPECT_EQ(size.code, kExitBadUse);
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
}

TEST(ImageSize, BenchRunsTheStemWithoutData) {
  const Outcome bench = espalier_command({"bench",
                                          "infer",
                                          "--model",
                                          "mobilenetv2",
                                          "--stem",
                                          "imagenet",
                                          "--image-size",
                                          "64",
                                          "--batch",
                                          "1",
                                          "--rounds",
                                          "1",
                                          "--round-seconds",
                                          "0",
                                          "--threads",
                                          "1",
                                          "--json"});
  ASSERT_EQ(bench.code, kExitOk) << bench.err;
  const nn::ModelOptions options{.image = {3, 64, 64}, .stem = nn::Stem::ImageNet};
  const auto model = nn::make_model("mobilenetv2", options);
  EXPECT_EQ(bench.json().at("macs_dense"),
            nn::count_model(*model, nn::example_input("mobilenetv2", options)).total.macs_dense);
}

/// A state dict as torchvision saves it: no description, counters of batches, 1000 classes.
std::string torchvision_file(const TemporaryFolder& folder, const std::string& model) {
  const auto net =
      nn::make_model(model, {.num_classes = 1000, .seed = 4, .stem = nn::Stem::ImageNet});
  SafetensorsFile file{net->state_dict(), {}};
  std::map<std::string, Tensor> counters;
  for (const auto& [name, tensor] : file.tensors) {
    const size_t at = name.rfind("running_mean");
    if (at == std::string::npos) continue;
    counters[name.substr(0, at) + "num_batches_tracked"] = Tensor::scalar(7, DType::I64);
  }
  file.tensors.merge(counters);
  const auto path = folder / (model + ".safetensors");
  save_safetensors(path, file);
  return path.string();
}

TEST(ImageSize, WeightsOfTorchvisionAreTakenWithTheirClasses) {
  const TemporaryFolder folder;
  const std::string weights = torchvision_file(folder, "mobilenetv2");
  const std::string out = (folder / "out.safetensors").string();
  const std::vector<std::string> shrink = {
      "shrink", "--weights", weights, "--out", out, "--model", "mobilenetv2"};
  const Outcome shrunk =
      espalier_command(joined(shrink, {"--stem", "imagenet", "--image-size", "224"}));
  ASSERT_EQ(shrunk.code, kExitOk) << shrunk.err;
  const nn::SavedModel model = nn::load_model(out);
  EXPECT_EQ(model.options.num_classes, 1000);
  EXPECT_EQ(model.options.image, (data::ImageShape{3, 224, 224}));
  EXPECT_EQ(model.options.stem, nn::Stem::ImageNet);
  const auto expected = load_safetensors(weights).tensors;
  for (const auto& [name, tensor] : model.module->state_dict()) {
    EXPECT_EQ(tensor.to_vector<float>(), expected.at(name).to_vector<float>()) << name;
  }
  // What the file tells by itself must agree.
  const std::vector<std::string> again = {
      "shrink", "--weights", out, "--out", (folder / "again").string()};
  const Outcome stem = espalier_command(joined(again, {"--stem", "small"}));
  EXPECT_EQ(stem.code, kExitBadUse);
  EXPECT_TRUE(has(stem.err, "--stem \"small\" was asked for")) << stem.err;
  const Outcome size = espalier_command(joined(again, {"--image-size", "64"}));
  EXPECT_EQ(size.code, kExitBadUse);
  EXPECT_TRUE(has(size.err, "shrink: --image-size 64 was asked for")) << size.err;
}

TEST(ImageSize, ATorchvisionResNetDoesNotFitTheSmallStem) {
  const TemporaryFolder folder;
  const std::string weights = torchvision_file(folder, "resnet18");
  const std::string out = (folder / "out.safetensors").string();
  const Outcome small =
      espalier_command({"shrink", "--weights", weights, "--out", out, "--model", "resnet18"});
  EXPECT_EQ(small.code, kExitBadUse);
  EXPECT_TRUE(has(small.err, "conv1.weight")) << small.err;
}

TEST(StepMemory, AboveWhatIsFreeIsRefusedWithWhatFits) {
  Network network = fresh_network("resnet20");
  StepMemory memory;
  memory.step = {.parameters = 1'000'000,
                 .optimizer = 1'000'000,
                 .activations = 50'000'000,
                 .step = 80'000'000,
                 .pooled = 90'000'000};
  memory.loader = 10'000'000;
  EXPECT_EQ(memory.needed(), 102'000'000);
  EXPECT_NO_THROW(check_step_memory(memory, network, 128, std::nullopt));
  EXPECT_NO_THROW(check_step_memory(memory, network, 128, 101'000'000));
  try {
    check_step_memory(memory, network, 128, 51'000'000);
    FAIL() << "would train";
  } catch (const ValueError& error) {
    const std::string text = error.what();
    EXPECT_TRUE(has(text, "a step of 128 samples needs about 102.00 MB")) << text;
    EXPECT_TRUE(has(text, "51.00 MB are free")) << text;
    EXPECT_TRUE(has(text, "About 64 samples fit: give a smaller --batch, --image-size")) << text;
    EXPECT_TRUE(has(text, "--ignore-memory")) << text;
  }
  EXPECT_THROW(check_step_memory(memory, network, 128, 0), ValueError);
}

TEST(StepMemory, ATrainingThatNoMachineHoldsIsRefusedBeforeItsFolderIsMade) {
  const TemporaryFolder folder;
  const std::vector<std::string> huge = {"--model",
                                         "resnet50",
                                         "--width",
                                         "1",
                                         "--stem",
                                         "imagenet",
                                         "--image-size",
                                         "96",
                                         "--train-size",
                                         "40000",
                                         "--batch",
                                         "40000"};
  const Outcome refused = espalier_command(tiny_training(folder / "run", huge));
  EXPECT_EQ(refused.code, kExitBadUse);
  EXPECT_TRUE(has(refused.err, "give a smaller --batch")) << refused.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
}

TEST(Figures, BytesAreTold) {
  EXPECT_EQ(bytes_text(12), "12 B");
  EXPECT_EQ(bytes_text(40'813'184), "40.81 MB");
  EXPECT_EQ(bytes_text(2'000'000'000), "2.00 GB");
}

}  // namespace
}  // namespace espalier::experiments
