// SPDX-License-Identifier: Apache-2.0
// Deep Compression from training to a file that runs.
#include <cstdlib>
#include <set>

#include <espalier/core/safetensors.h>
#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::TemporaryFolder;

TEST(Compress, ASharedRunIsWrittenWithoutLossAndRuns) {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  const std::string weights = run + "/model.safetensors";
  const std::string edc = (folder / "net.edc").string();
  const Outcome trained = espalier_command(tiny_training(run,
                                                         {"--prune",
                                                          "deep-compression",
                                                          "--sparsity",
                                                          "0.8",
                                                          "--share-at",
                                                          "0.5",
                                                          "--conv-bits",
                                                          "4",
                                                          "--fc-bits",
                                                          "3"}));
  ASSERT_EQ(trained.code, kExitOk) << trained.err;
  for (const auto& [name, tensor] : load_safetensors(weights).tensors) {
    if (tensor.rank() < 2 || name.ends_with(".mask")) continue;
    const auto values = tensor.to_vector<float>();
    std::set<float> distinct(values.begin(), values.end());
    distinct.erase(0.0F);
    EXPECT_LE(distinct.size(), tensor.rank() > 2 ? 16U : 8U) << name;
  }

  const Outcome compressed = espalier_command({"compress",
                                               "--weights",
                                               weights,
                                               "--out",
                                               edc,
                                               "--conv-bits",
                                               "4",
                                               "--fc-bits",
                                               "3",
                                               "--conv-gap-bits",
                                               "4",
                                               "--json"});
  ASSERT_EQ(compressed.code, kExitOk) << compressed.err;
  const auto sizes = compressed.json();
  EXPECT_EQ(sizes.at("file_bytes").get<uintmax_t>(), std::filesystem::file_size(edc));
  EXPECT_GT(sizes.at("ratio").get<double>(), 2.0);
  EXPECT_EQ(sizes.at("layers").size(), 20U);

  const auto eval = [](const std::string& file) {
    return espalier_command(
        {"eval", "--weights", file, "--data", "synth", "--test-size", "20", "--json"});
  };
  auto from_edc = eval(edc).json();
  auto from_run = eval(weights).json();
  EXPECT_EQ(from_run.at("data"), "synth");
  EXPECT_EQ(from_run.at("split"), "test");
  from_edc.erase("images_per_second");
  from_run.erase("images_per_second");
  EXPECT_EQ(from_edc, from_run);
  EXPECT_NEAR(from_edc.at("sparsity").get<double>(), 0.8, 1e-3);

  const std::string back = (folder / "back.safetensors").string();
  ASSERT_EQ(espalier_command({"decompress", "--weights", edc, "--out", back}).code, kExitOk);
  const auto a = load_safetensors(weights);
  const auto b = load_safetensors(back);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_EQ(tensor.to_vector<float>(), b.tensors.at(name).to_vector<float>()) << name;
  }
}

TEST(Compress, TheFileIsScoredLikeTheNetworkThatItHolds) {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  ASSERT_EQ(espalier_command(tiny_training(run, {"--epochs", "0"})).code, kExitOk);
  const std::string edc = (folder / "net.edc").string();
  ASSERT_EQ(
      espalier_command({"compress", "--weights", run + "/model.safetensors", "--out", edc}).code,
      kExitOk);
  const std::string back = (folder / "back.safetensors").string();
  ASSERT_EQ(espalier_command({"decompress", "--weights", edc, "--out", back}).code, kExitOk);
  const std::string batch = (folder / "batch.safetensors").string();
  save_safetensors(
      batch,
      {{{"images", Tensor::ones({2, 3, 32, 32})}, {"labels", Tensor::from<int64_t>({2}, {0, 1})}},
       {}});
  const auto conv1 = [&](const std::string& weights) {
    const std::string out = (folder / "scores.safetensors").string();
    const Outcome score = espalier_command(
        {"score", "magnitude", "--weights", weights, "--batch", batch, "--out", out});
    EXPECT_EQ(score.code, kExitOk) << score.err;
    return load_safetensors(out).tensors.at("conv1.weight").to_vector<double>();
  };
  EXPECT_EQ(conv1(edc), conv1(back));
}

TEST(Compress, WeightsFromElsewhereNeedTheModelsName) {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  ASSERT_EQ(espalier_command(tiny_training(run, {"--epochs", "0"})).code, kExitOk);
  SafetensorsFile file = load_safetensors(run + "/model.safetensors");
  file.metadata.clear();
  const std::string foreign = (folder / "foreign.safetensors").string();
  save_safetensors(foreign, file);
  const std::string edc = (folder / "net.edc").string();
  const Outcome compressed = espalier_command({"compress",
                                               "--weights",
                                               foreign,
                                               "--model",
                                               "resnet20",
                                               "--width",
                                               "0.25",
                                               "--data",
                                               "synth",
                                               "--out",
                                               edc});
  ASSERT_EQ(compressed.code, kExitOk) << compressed.err;
  EXPECT_NE(compressed.out.find("times smaller"), std::string::npos);
  EXPECT_EQ(
      espalier_command({"eval", "--weights", edc, "--data", "synth", "--test-size", "20"}).code,
      kExitOk);
}

// A short form of espalier/experiments/configs/mnist_lenet300*.toml.
TEST(Compress, LeNet300OnMnistIsThirtyFiveTimesSmallerAtThreeTenthsOfAPoint) {
  const char* data = std::getenv("ESPALIER_DATA");
  if (data == nullptr || !std::filesystem::exists(std::filesystem::path(data) / "mnist")) {
    GTEST_SKIP() << "no MNIST below ESPALIER_DATA";
  }
  const TemporaryFolder folder;
  const auto train = [&](const char* name, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"train",
                                          "--model",
                                          "lenet300",
                                          "--data",
                                          "mnist",
                                          "--augment",
                                          "none",
                                          "--seed",
                                          "1",
                                          "--epochs",
                                          "10",
                                          "--batch",
                                          "128",
                                          "--schedule",
                                          "onecycle",
                                          "--weight-decay",
                                          "1e-4",
                                          "--out",
                                          (folder / name).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome run = espalier_command(arguments);
    EXPECT_EQ(run.code, kExitOk) << run.err;
    return (folder / name / "model.safetensors").string();
  };
  const std::string dense = train("dense", {"--lr", "0.1"});
  const std::string shared = train("shared",
                                   {"--lr",
                                    "0.05",
                                    "--weights",
                                    dense,
                                    "--prune",
                                    "deep-compression",
                                    "--sparsity",
                                    "0.92",
                                    "--rounds",
                                    "5",
                                    "--share-at",
                                    "0.8",
                                    "--fc-bits",
                                    "5"});
  const std::string edc = (folder / "net.edc").string();
  const Outcome compressed = espalier_command({"compress", "--weights", shared, "--out", edc});
  ASSERT_EQ(compressed.code, kExitOk) << compressed.err;
  EXPECT_LE(35 * std::filesystem::file_size(edc), 4 * 266'610);
  const auto correct = [](const std::string& file) {
    return espalier_command({"eval", "--weights", file, "--data", "mnist", "--json"})
        .json()
        .at("correct")
        .get<int64_t>();
  };
  EXPECT_GE(correct(edc), correct(dense) - 30);
}

}  // namespace
}  // namespace espalier::experiments
