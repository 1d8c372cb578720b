// SPDX-License-Identifier: Apache-2.0
// What was asked for, be it at its default, against what files say: networks, zeros, batches.
#include <algorithm>

#include <espalier/core/io.h>
#include <espalier/core/safetensors.h>
#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A training without steps of another network than the default one.
std::string vgg_file(const TemporaryFolder& folder) {
  const Outcome made = espalier_command(
      tiny_training(folder / "vgg", {"--model", "vgg11", "--width", "0.125", "--epochs", "0"}));
  EXPECT_EQ(made.code, kExitOk) << made.err;
  return (folder / "vgg/model.safetensors").string();
}

std::vector<std::string> from(const std::string& weights,
                              const std::filesystem::path& out,
                              const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"train",
                                        "--weights",
                                        weights,
                                        "--data",
                                        "synth",
                                        "--batch",
                                        "16",
                                        "--epochs",
                                        "0",
                                        "--train-size",
                                        "40",
                                        "--test-size",
                                        "20",
                                        "--threads",
                                        "1",
                                        "--out",
                                        out.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Given, AnExplicitDefaultIsHeldAgainstTheFileOfWeights) {
  const TemporaryFolder folder;
  const std::string weights = vgg_file(folder);
  const std::vector<std::vector<std::string>> asked = {
      {"--model", "resnet20"}, {"--width", "1"}, {"--shortcut", "A", "--model", "resnet20"}};
  for (const auto& flags : asked) {
    const Outcome refused = espalier_command(from(weights, folder / "out", flags));
    EXPECT_EQ(refused.code, kExitBadUse) << flags[0];
    EXPECT_TRUE(has(refused.err, "was asked for, but " + weights + " holds a network with"))
        << refused.err;
    EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  }
  // A key of a configuration file asks as a flag does.
  const std::string config = folder.write("c.toml", "model = \"resnet20\"\n").string();
  const Outcome by_file = espalier_command(from(weights, folder / "out", {"--config", config}));
  EXPECT_EQ(by_file.code, kExitBadUse);
  EXPECT_TRUE(has(by_file.err, "--model \"resnet20\" was asked for")) << by_file.err;
  // What nobody asked for is the file's, and so is what agrees.
  EXPECT_EQ(espalier_command(from(weights, folder / "out")).code, kExitOk);
  EXPECT_TRUE(has(slurp(folder / "out/run.json"), "\"model\": \"vgg11\""));
  EXPECT_EQ(espalier_command(from(weights, folder / "same", {"--model", "vgg11"})).code, kExitOk);
}

TEST(Given, ScoreHoldsItToo) {
  const TemporaryFolder folder;
  const std::string weights = vgg_file(folder);
  SafetensorsFile batch;
  batch.tensors["images"] = Tensor::zeros({2, 3, 32, 32});
  batch.tensors["labels"] = Tensor::zeros({2}, DType::I64);
  save_safetensors(folder / "batch.safetensors", batch);
  const auto score = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"score",
                                          "magnitude",
                                          "--batch",
                                          (folder / "batch.safetensors").string(),
                                          "--weights",
                                          weights,
                                          "--out",
                                          (folder / "scores.safetensors").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return espalier_command(arguments);
  };
  EXPECT_EQ(score({}).code, kExitOk);
  EXPECT_TRUE(has(score({"--model", "resnet20"}).err, "holds a network with model \"vgg11\""));
  EXPECT_TRUE(has(score({"--classes", "3"}).err, "--classes 3 was asked for"));
}

TEST(Given, AKeyOfAFileThatDoesNothingIsRefusedUnlessAFlagTookItsEffect) {
  const TemporaryFolder folder;
  const std::string adam =
      folder.write("a.toml", "optimizer = \"adam\"\nmomentum = 0.5\nlr = 0.001\n").string();
  const Outcome idle = espalier_command(tiny_training(folder / "a", {"--config", adam}));
  EXPECT_EQ(idle.code, kExitBadUse);
  EXPECT_TRUE(has(idle.err, "--momentum needs --optimizer sgd or muon, got adam")) << idle.err;
  const std::string sgd = folder.write("s.toml", "momentum = 0.5\n").string();
  const Outcome overridden = espalier_command(
      tiny_training(folder / "s", {"--config", sgd, "--optimizer", "adam", "--epochs", "0"}));
  EXPECT_EQ(overridden.code, kExitOk) << overridden.err;
}

// The model file of a training with every other weight of each layer zero, and no masks.
std::string file_with_zeros(const TemporaryFolder& folder) {
  EXPECT_EQ(espalier_command(tiny_training(folder / "dense", {"--epochs", "0"})).code, kExitOk);
  SafetensorsFile file = load_safetensors(folder / "dense/model.safetensors");
  for (auto& [name, tensor] : file.tensors) {
    if (tensor.rank() < 2) continue;
    tensor = tensor.clone();
    for (int64_t i = 0; i < tensor.numel(); i += 2) tensor.data<float>()[i] = 0.0F;
  }
  save_safetensors(folder / "zeros.safetensors", file);
  return (folder / "zeros.safetensors").string();
}

int64_t count_zeros(const std::filesystem::path& file) {
  int64_t zeros = 0;
  for (const auto& [name, tensor] : load_safetensors(file).tensors) {
    if (tensor.rank() < 2 || tensor.dtype() != DType::F32) continue;
    zeros += std::count(tensor.data<float>(), tensor.data<float>() + tensor.numel(), 0.0F);
  }
  return zeros;
}

TEST(Zeros, WithoutMasksAreToldAndTrainOn) {
  const TemporaryFolder folder;
  const std::string weights = file_with_zeros(folder);
  const Outcome outcome =
      espalier_command(from(weights, folder / "run", {"--epochs", "1", "--width", "0.25"}));
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_TRUE(has(outcome.err, "50.0 % of the weights are zero and had no mask")) << outcome.err;
  EXPECT_TRUE(has(outcome.err, "--masks-from-zeros")) << outcome.err;
  EXPECT_LT(count_zeros(folder / "run/model.safetensors"), 100);
  const Outcome evaluated = espalier_command(
      {"eval", "--weights", weights, "--data", "synth", "--test-size", "20", "--json"});
  EXPECT_TRUE(has(evaluated.err, "had no mask")) << evaluated.err;
  // Nothing is said of networks that have hardly any.
  const Outcome dense = espalier_command({"eval",
                                          "--weights",
                                          (folder / "dense/model.safetensors").string(),
                                          "--data",
                                          "synth",
                                          "--test-size",
                                          "20"});
  EXPECT_FALSE(has(dense.err, "mask")) << dense.err;
}

TEST(Zeros, BecomeMasksWhereThatIsAsked) {
  const TemporaryFolder folder;
  const std::string weights = file_with_zeros(folder);
  const int64_t zeros = count_zeros(weights);
  const Outcome outcome =
      espalier_command(from(weights, folder / "run", {"--epochs", "1", "--masks-from-zeros"}));
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_EQ(count_zeros(folder / "run/model.safetensors"), zeros);
  const auto trained = load_safetensors(folder / "run/model.safetensors").tensors;
  EXPECT_TRUE(trained.contains("conv1.weight.mask"));
  EXPECT_NEAR(
      tiny_evaluation((folder / "run/model.safetensors").string()).at("sparsity"), 0.5, 1e-3);
  for (const std::vector<std::string>& verb : std::vector<std::vector<std::string>>{
           {"shrink", "--weights", weights, "--out", (folder / "small.safetensors").string()},
           {"compress", "--weights", weights, "--out", (folder / "small.edc").string()},
           {"eval", "--weights", weights, "--data", "synth", "--test-size", "20"}}) {
    std::vector<std::string> asked = verb;
    asked.push_back("--masks-from-zeros");
    const Outcome done = espalier_command(asked);
    EXPECT_EQ(done.code, kExitOk) << done.err;
    EXPECT_TRUE(has(done.err, "they are masked now")) << verb[0] << ": " << done.err;
  }
  EXPECT_TRUE(load_safetensors(folder / "small.safetensors").tensors.contains("conv1.weight.mask"));
}

TEST(Zeros, ThatAreNotThereAreNoMasks) {
  const TemporaryFolder folder;
  ASSERT_EQ(espalier_command(tiny_training(folder / "dense", {"--epochs", "0"})).code, kExitOk);
  const std::string weights = (folder / "dense/model.safetensors").string();
  const Outcome none = espalier_command(from(weights, folder / "run", {"--masks-from-zeros"}));
  EXPECT_EQ(none.code, kExitBadUse);
  EXPECT_TRUE(has(none.err, "has no weights that are zero without a mask")) << none.err;
  const Outcome alone = espalier_command(tiny_training(folder / "run", {"--masks-from-zeros"}));
  EXPECT_TRUE(has(alone.err, "--masks-from-zeros needs --weights")) << alone.err;
}

// Forty images of 28x28 as MNIST's four files.
void write_digits(const std::filesystem::path& folder) {
  const auto number = [](uint32_t value) {
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 255U);
    return out;
  };
  std::string images = number(2051) + number(40) + number(28) + number(28);
  std::string labels = number(2049) + number(40);
  for (int i = 0; i < 40; ++i) {
    for (int pixel = 0; pixel < 28 * 28; ++pixel)
      images += static_cast<char>(pixel * (i + 3) % 251);
    labels += static_cast<char>(i % 10);
  }
  for (const char* split : {"train", "t10k"}) {
    write_file(folder / (std::string(split) + "-images-idx3-ubyte"), images);
    write_file(folder / (std::string(split) + "-labels-idx1-ubyte"), labels);
  }
}

TEST(Batches, OfOneSampleAreFoundBeforeTrainingWhereBatchNormNeedsMore) {
  const TemporaryFolder folder;
  // VGG on 28x28 ends in planes of one value.
  write_digits(folder.path() / "mnist");
  const std::vector<std::string> vgg = {"--model",
                                        "vgg11",
                                        "--width",
                                        "0.125",
                                        "--data",
                                        "mnist",
                                        "--data-root",
                                        folder.path().string(),
                                        "--train-size",
                                        "33",
                                        "--test-size",
                                        "10",
                                        "--epochs",
                                        "1"};
  const Outcome refused = espalier_command(tiny_training(folder / "bn", vgg));
  EXPECT_EQ(refused.code, kExitBadUse) << refused.err;
  for (const char* part :
       {"the last batch of an epoch has one sample (33 samples in batches of 16)", "--drop-last"}) {
    EXPECT_TRUE(has(refused.err, part)) << refused.err;
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "bn"));
  std::vector<std::string> dropping = vgg;
  dropping.push_back("--drop-last");
  const Outcome dropped = espalier_command(tiny_training(folder / "bn", dropping));
  ASSERT_EQ(dropped.code, kExitOk) << dropped.err;
  EXPECT_TRUE(has(slurp(folder / "bn/metrics.csv"), "\n1,2,")) << "two steps, not three";
  // A network whose planes are larger trains on such a batch.
  EXPECT_EQ(
      espalier_command(tiny_training(folder / "res", {"--train-size", "33", "--epochs", "1"})).code,
      kExitOk);
}

}  // namespace
}  // namespace espalier::experiments
