// SPDX-License-Identifier: Apache-2.0
// Training under the masks of another run, and scoring from noise.
#include <fstream>
#include <map>

#include <espalier/core/safetensors.h>
#include <espalier/experiments/failure.h>
#include <espalier/prune/drive/registry.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::expect_error;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

std::map<std::string, std::vector<uint8_t>> masks_of(const std::filesystem::path& file) {
  std::map<std::string, std::vector<uint8_t>> out;
  for (const auto& [name, tensor] : load_safetensors(file).tensors) {
    if (name.ends_with(".mask")) out[name] = tensor.to_vector<uint8_t>();
  }
  return out;
}

TEST(MaskFrom, TrainsFreshWeightsUnderTheMasksOfAnotherRun) {
  const TemporaryFolder folder;
  const auto train = [&](const char* name, const std::vector<std::string>& more) {
    const Outcome outcome = espalier_command(tiny_training(folder / name, more));
    EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
    return folder / name / "model.safetensors";
  };
  const auto pruned = train("pruned", {"--prune", "magnitude", "--sparsity", "0.8"});
  const auto start = train("start", {"--epochs", "0"});
  const auto masked = train("masked", {"--epochs", "0", "--mask-from", pruned.string()});
  const auto trained = train("trained", {"--data-seed", "5", "--mask-from", pruned.string()});
  const auto masks = masks_of(pruned);
  ASSERT_FALSE(masks.empty());
  EXPECT_EQ(masks_of(masked), masks);
  EXPECT_EQ(masks_of(trained), masks);
  const auto initial = load_safetensors(start).tensors;
  const auto kept = load_safetensors(masked).tensors;
  for (const auto& [name, mask] : masks) {
    const std::string owner = name.substr(0, name.size() - 5);
    const auto before = initial.at(owner).to_vector<float>();
    const auto after = kept.at(owner).to_vector<float>();
    for (size_t i = 0; i < mask.size(); ++i) {
      ASSERT_EQ(after[i], mask[i] != 0 ? before[i] : 0.0f) << name << " " << i;
    }
  }
}

TEST(MaskFrom, StretchesTheTicketOfAShallowerNetwork) {
  const TemporaryFolder folder;
  const auto train = [&](const char* name, const std::vector<std::string>& more) {
    const Outcome outcome = espalier_command(tiny_training(folder / name, more));
    EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
    return folder / name / "model.safetensors";
  };
  const auto start = train("start", {"--epochs", "0"});
  const auto pruned = train("pruned", {"--epochs", "0", "--prune", "magnitude"});
  const auto deep = train("deep",
                          {"--epochs",
                           "0",
                           "--model",
                           "resnet32",
                           "--elastic",
                           "append",
                           "--weights",
                           start.string(),
                           "--mask-from",
                           pruned.string()});
  const auto shallow = load_safetensors(pruned).tensors;
  const auto stretched = load_safetensors(deep).tensors;
  const std::pair<const char*, const char*> table[] = {
      {"conv1.weight", "conv1.weight"},
      {"layer1.0.conv1.weight", "layer1.0.conv1.weight"},
      {"layer2.3.conv2.weight", "layer2.1.conv2.weight"},
      {"layer3.4.conv1.weight", "layer3.2.conv1.weight"},
      {"fc.weight", "fc.weight"}};
  for (const auto& [target, source] : table) {
    // Pruned without an epoch, the file has the initial weights where they are kept.
    EXPECT_EQ(stretched.at(target).to_vector<float>(), shallow.at(source).to_vector<float>())
        << target;
    EXPECT_EQ(stretched.at(cat(target, ".mask")).to_vector<uint8_t>(),
              shallow.at(cat(source, ".mask")).to_vector<uint8_t>())
        << target;
  }
}

TEST(MaskFrom, RefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  const auto train = [&](const char* name, const std::vector<std::string>& more) {
    return espalier_command(tiny_training(folder / name, more));
  };
  ASSERT_EQ(train("dense", {"--epochs", "0"}).code, kExitOk);
  ASSERT_EQ(train("pruned", {"--epochs", "0", "--prune", "random"}).code, kExitOk);
  const std::string dense = (folder / "dense/model.safetensors").string();
  const std::string pruned = (folder / "pruned/model.safetensors").string();
  const std::pair<std::vector<std::string>, const char*> table[] = {
      {{"--mask-from", dense}, "holds no masks"},
      {{"--mask-from", pruned, "--width", "0.5"}, "another width"},
      {{"--mask-from", pruned, "--model", "vgg11"}, "another model"},
      {{"--mask-from", pruned, "--model", "resnet32"}, "--elastic"},
      {{"--mask-from", pruned, "--model", "resnet32", "--width", "0.5", "--elastic", "append"},
       "another width"},
      {{"--mask-from", pruned, "--model", "vgg11", "--elastic", "append"}, "layer1, layer2"},
      {{"--weights", pruned, "--model", "resnet32", "--width", "0.5", "--elastic", "append"},
       "does not fit"},
      {{"--elastic", "append"}, "give one of them"},
      {{"--mask-from", pruned, "--prune", "magnitude"}, "choose one"},
      {{"--mask-from", (folder / "nothing").string()}, "nothing"}};
  for (const auto& [more, message] : table) {
    const Outcome outcome = train("refused", more);
    EXPECT_EQ(outcome.code, kExitBadUse) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(folder / "refused"));
  }
}

TEST(ScoringInput, NoiseMakesSnipBlindToTheData) {
  const TemporaryFolder folder;
  const auto masks = [&](const std::string& input, const std::string& data_seed) {
    const std::string name = input + data_seed;
    const Outcome outcome = espalier_command(tiny_training(
        folder / name,
        {"--epochs", "0", "--prune", "snip", "--data-seed", data_seed, "--scoring-input", input}));
    EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
    return masks_of(folder / name / "model.safetensors");
  };
  const auto noise = masks("noise", "0");
  ASSERT_FALSE(noise.empty());
  EXPECT_EQ(masks("noise", "1"), noise);
  const auto data = masks("data", "0");
  EXPECT_NE(data, noise);
  EXPECT_NE(masks("data", "1"), data);
}

}  // namespace
}  // namespace espalier::experiments
