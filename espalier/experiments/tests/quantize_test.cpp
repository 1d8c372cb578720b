// SPDX-License-Identifier: Apache-2.0
// 8-bit networks by the command: calibrated after training, or trained with rounding.
#include <cstdlib>

#include <espalier/core/safetensors.h>
#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::TemporaryFolder;

nlohmann::json eval(const std::string& file) {
  const Outcome outcome = espalier_command(
      {"eval", "--weights", file, "--data", "synth", "--test-size", "20", "--json"});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  return outcome.json();
}

TEST(Quantize, APrunedRunIsCalibratedAndKeepsItsZeros) {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  ASSERT_EQ(
      espalier_command(tiny_training(run, {"--prune", "magnitude", "--sparsity", "0.8"})).code,
      kExitOk);
  const std::string weights = run + "/model.safetensors";
  const std::string out = (folder / "int8.safetensors").string();
  for (const char* method : {"minmax", "percentile", "mse"}) {
    const Outcome quantized = espalier_command({"quantize",
                                                "--weights",
                                                weights,
                                                "--data",
                                                "synth",
                                                "--images",
                                                "30",
                                                "--calibration",
                                                method,
                                                "--out",
                                                out,
                                                "--json"});
    ASSERT_EQ(quantized.code, kExitOk) << quantized.err;
    const auto report = quantized.json();
    EXPECT_EQ(report.at("layers").size(), 20U);
    EXPECT_TRUE(report.at("float32").empty());
    for (const auto& layer : report.at("layers")) {
      EXPECT_LE(layer.at("nonzero"), layer.at("nonzero_float")) << layer.at("name");
    }
    const auto before = eval(weights);
    const auto after = eval(out);
    EXPECT_NEAR(before.at("loss").get<double>(),
                after.at("loss").get<double>(),
                0.05 * before.at("loss").get<double>());
    EXPECT_NE(before.at("loss"), after.at("loss"));
    EXPECT_EQ(before.at("sparsity"), after.at("sparsity"));
    EXPECT_LT(after.at("macs_executed"), after.at("macs_dense"));
  }
}

TEST(Quantize, TrainingWithRoundingGoesWithAnyMethodAndStaysIn) {
  const TemporaryFolder folder;
  const std::vector<std::string> more = {"--prune",
                                         "gmp",
                                         "--sparsity",
                                         "0.5",
                                         "--frequency",
                                         "1",
                                         "--quantize",
                                         "int8",
                                         "--checkpoint-every",
                                         "1"};
  const std::string run = (folder / "run").string();
  ASSERT_EQ(espalier_command(tiny_training(run, more)).code, kExitOk);
  const auto model = load_safetensors(run + "/model.safetensors");
  EXPECT_EQ(model.tensors.at("layer1.0.conv1.quantizer.calibrated").item(), 1.0);
  EXPECT_NE(model.tensors.at("layer1.0.conv1.quantizer.range").at({1}), 0.0);
  EXPECT_GT(eval(run + "/model.safetensors").at("accuracy").get<double>(), 0.0);

  // A network that is quantized already stays so in later trainings.
  std::vector<std::string> again = {"--weights", run + "/model.safetensors"};
  const std::string second = (folder / "second").string();
  ASSERT_EQ(espalier_command(tiny_training(second, again)).code, kExitOk);
  EXPECT_TRUE(
      load_safetensors(second + "/model.safetensors").tensors.contains("fc.quantizer.range"));
}

// A layer multiplies with one form: the method's, or that of integers.
TEST(Quantize, MethodsThatTrainUnderFormsAreRefusedAtTheSameTime) {
  const TemporaryFolder folder;
  for (const char* method : {"sr-ste", "l0", "edge-popup"}) {
    const auto run = folder / method;
    const Outcome outcome =
        espalier_command(tiny_training(run.string(), {"--prune", method, "--quantize", "int8"}));
    EXPECT_NE(outcome.code, kExitOk);
    EXPECT_NE(outcome.err.find(cat("--quantize int8 and --prune ", method)), std::string::npos)
        << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(run));
  }
}

// Half a point is 50 of 10,000 images.
TEST(Quantize, ATrainedResNetLosesLessThanHalfAPoint) {
  const char* data = std::getenv("ESPALIER_DATA");
  const char* checkpoints = std::getenv("ESPALIER_CHECKPOINTS");
  if (data == nullptr || checkpoints == nullptr) {
    GTEST_SKIP() << "ESPALIER_DATA and ESPALIER_CHECKPOINTS are not set";
  }
  const auto weights = std::filesystem::path(checkpoints) / "resnet20_cifar10.safetensors";
  if (!std::filesystem::exists(weights) ||
      !std::filesystem::exists(std::filesystem::path(data) / "cifar10" / "test_batch.bin")) {
    GTEST_SKIP() << "no CIFAR-10 or no checkpoint";
  }
  const TemporaryFolder folder;
  const std::string out = (folder / "int8.safetensors").string();
  const auto with_data = [](std::vector<std::string> arguments) {
    for (const char* more :
         {"--data", "cifar10", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"}) {
      arguments.emplace_back(more);
    }
    return espalier_command(arguments);
  };
  const Outcome quantized = with_data({"quantize", "--weights", weights.string(), "--out", out});
  ASSERT_EQ(quantized.code, kExitOk) << quantized.err;
  const Outcome evaluated = with_data({"eval", "--weights", out, "--json"});
  ASSERT_EQ(evaluated.code, kExitOk) << evaluated.err;
  EXPECT_GE(evaluated.json().at("correct"), 9173 - 50);
}

}  // namespace
}  // namespace espalier::experiments
