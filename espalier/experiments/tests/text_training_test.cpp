// SPDX-License-Identifier: Apache-2.0
// A language model by command: trained on a text, evaluated, pruned after training.
#include <cmath>
#include <fstream>

#include "command_line.h"

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using espalier::testing::TemporaryFolder;

/// A text that says the same word over and over: whoever has learnt it is never surprised.
std::string write_text(const fs::path& file) {
  std::ofstream out(file, std::ios::binary);
  for (int i = 0; i < 500; ++i) out << "espalier ";
  return "text:" + file.string();
}

std::vector<std::string> training(const std::string& data,
                                  const fs::path& out,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {
      "train", "--model",  "gpt",   "--data",     data,       "--context", "15",    "--batch",
      "8",     "--epochs", "1",     "--seed",     "1",        "--threads", "1",     "--optimizer",
      "adamw", "--lr",     "0.002", "--schedule", "constant", "--json",    "--out", out.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// 8 characters, so that a model that knows nothing is at a perplexity of 8 (all alike) and one that
// knows how often each comes at 7.4; in a window of 15 the first alone can't be foretold for sure.
TEST(TextTraining, AGptLearnsAndKeepsWhatItLearntWhenPruned) {
  const TemporaryFolder folder;
  const std::string data = write_text(folder / "a.txt");
  const Outcome dense = espalier_command(training(data, folder / "dense", {}));
  ASSERT_EQ(dense.code, 0) << dense.err;
  const nlohmann::json figures = dense.json();
  EXPECT_DOUBLE_EQ(figures.at("perplexity"), std::exp(figures.at("loss").get<double>()));
  EXPECT_LT(figures.at("perplexity").get<double>(), 1.6);
  EXPECT_EQ(figures.at("total"), 15 * 29);  // 450 characters for tests, 449 that follow one

  const std::string weights = (folder / "dense" / "model.safetensors").string();
  const Outcome again = espalier_command({"eval",
                                          "--weights",
                                          weights,
                                          "--model",
                                          "gpt",
                                          "--data",
                                          data,
                                          "--context",
                                          "15",
                                          "--json"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.json().at("correct"), figures.at("correct"));
  EXPECT_EQ(again.json().at("perplexity"), figures.at("perplexity"));

  for (const std::vector<std::string>& method :
       {std::vector<std::string>{"--prune", "sparsegpt", "--pattern", "2:4"},
        {"--prune", "wanda", "--pattern", "2:4"},
        {"--prune", "magnitude", "--sparsity", "0.5"}}) {
    std::vector<std::string> more = {"--weights", weights, "--epochs", "0"};
    more.insert(more.end(), method.begin(), method.end());
    const Outcome pruned = espalier_command(training(data, folder / method[1], more));
    ASSERT_EQ(pruned.code, 0) << method[1] << pruned.err;
    EXPECT_NEAR(pruned.json().at("sparsity").get<double>(), 0.5, 0.01) << method[1];
    EXPECT_LT(pruned.json().at("perplexity").get<double>(), 4.0) << method[1];
  }
}

TEST(TextTraining, TextsAndImagesAreNotMixedUp) {
  const TemporaryFolder folder;
  const std::string data = write_text(folder / "a.txt");
  const Outcome images =
      espalier_command(tiny_training(folder / "a", {"--data", data, "--context", "15"}));
  EXPECT_NE(images.code, 0);
  EXPECT_NE(images.err.find("resnet20 reads images"), std::string::npos) << images.err;
  const Outcome text = espalier_command(training("synth", folder / "b", {}));
  EXPECT_NE(text.code, 0);
  EXPECT_NE(text.err.find("gpt reads text"), std::string::npos) << text.err;
  const Outcome other = espalier_command(training(data, folder / "c", {"--epochs", "0"}));
  ASSERT_EQ(other.code, 0) << other.err;
  const Outcome longer = espalier_command({"eval",
                                           "--weights",
                                           (folder / "c" / "model.safetensors").string(),
                                           "--model",
                                           "gpt",
                                           "--data",
                                           data,
                                           "--context",
                                           "16"});
  EXPECT_NE(longer.code, 0) << longer.out;
}

}  // namespace
}  // namespace espalier::experiments
