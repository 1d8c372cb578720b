// SPDX-License-Identifier: Apache-2.0
// What every verb does with good and bad use: exit codes, texts, JSON keys.
#include <cstdlib>
#include <set>

#include <espalier/core/parallel.h>
#include <espalier/core/safetensors.h>
#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

TEST(Command, EveryVerbHasHelpThatExitsWithZero) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--help"},
                                             {"doctor", "--help"},
                                             {"methods", "--help"},
                                             {"advise", "--help"},
                                             {"data", "--help"},
                                             {"train", "--help"},
                                             {"eval", "--help"},
                                             {"score", "--help"},
                                             {"shrink", "--help"},
                                             {"widen", "--help"},
                                             {"quantize", "--help"},
                                             {"compress", "--help"},
                                             {"decompress", "--help"},
                                             {"report", "--help"},
                                             {"verify", "--help"},
                                             {"experiment", "--help"},
                                             {"experiment", "run", "--help"},
                                             {"models", "--help"},
                                             {"predict", "--help"},
                                             {"inspect", "--help"},
                                             {"compare", "--help"},
                                             {"sweep", "--help"},
                                             {"sensitivity", "--help"},
                                             {"completion", "--help"},
                                             {"man", "--help"},
                                             {"data", "synth", "--help"}}) {
    const Outcome help = espalier_command(arguments);
    EXPECT_EQ(help.code, kExitOk) << arguments[0];
    EXPECT_NE(help.out.find("--help"), std::string::npos);
    EXPECT_EQ(help.err, "");
  }
}

TEST(Command, HelpOfTrainNamesEverySetting) {
  const std::string help = espalier_command({"train", "--help"}).out;
  for (const char* flag :
       {"--model",    "--data",     "--data-root", "--train-size",      "--epochs",
        "--batch",    "--lr",       "--optimizer", "--momentum",        "--weight-decay",
        "nesterov",   "--schedule", "--warmup",    "--label-smoothing", "--augment",
        "--seed",     "--threads",  "--workers",   "--weights",         "--prune",
        "--sparsity", "--pattern",  "--out",       "--config",          "--checkpoint-every",
        "--json"}) {
    EXPECT_NE(help.find(flag), std::string::npos) << flag;
  }
}

TEST(Command, AloneIsItsHelp) {
  const Outcome alone = espalier_command({});
  EXPECT_EQ(alone.code, kExitOk);
  EXPECT_EQ(alone.out, espalier_command({"--help"}).out);
  EXPECT_EQ(alone.err, "");
}

TEST(Command, SwappedLettersAreRecognized) {
  const auto answer = [](const std::vector<std::string>& arguments) {
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitBadUse);
    return outcome.err;
  };
  const auto expect = [&](const std::vector<std::string>& arguments, const char* meant) {
    const std::string text = answer(arguments);
    EXPECT_NE(text.find(meant), std::string::npos) << text;
  };
  expect({"tarin"}, "'train'");
  expect({"train", "--epcohs", "1"}, "'--epochs'");
  expect({"train", "--prune", "rgil"}, "rigl");
  expect({"train", "--model", "rsenet20"}, "resnet20");
  expect({"train", "--prune", "gmp", "--sparsity", "90"}, "0.9?");
}

TEST(Command, VersionIsPrinted) {
  const Outcome version = espalier_command({"--version"});
  EXPECT_EQ(version.code, kExitOk);
  EXPECT_EQ(version.out.substr(0, 9), "espalier ");
}

struct BadUse {
  std::vector<std::string> arguments;
  const char* message;
};

TEST(Command, BadUseExitsWithTwoAndSaysWhy) {
  const TemporaryFolder folder;
  const std::string out = (folder / "run").string();
  const std::string missing = (folder / "missing").string();
  const std::string empty = folder.write("empty", "").string();
  const std::string directory = folder.path().string();
  const std::string text = folder.write("text.toml", "model = \n").string();
  const std::string unknown = folder.write("unknown.toml", "epoch = 3\n").string();
  const std::string nested = folder.write("nested.toml", "[model]\nname = 1\n").string();
  const std::string wrong = folder.write("wrong.toml", "epochs = \"many\"\n").string();
  const std::string infinite = folder.write("infinite.toml", "lr = inf\n").string();
  save_safetensors(folder / "other.safetensors", {{{"w", Tensor::scalar(1)}}, {}});
  const std::string other = (folder / "other.safetensors").string();
  save_safetensors(folder / "nan.safetensors", {{{"w", Tensor::scalar(std::nan(""))}}, {}});
  const std::string nan = (folder / "nan.safetensors").string();
  const std::string cut = folder
                              .write("cut.edc",
                                     "\x89"
                                     "EDC\r\n\x1a\nrest")
                              .string();
  const BadUse table[] = {
      {{"fly"}, "fly"},
      {{"train", "--wings", "2"}, "wings"},
      {{"train", "--epochs"}, "epochs"},
      {{"train", "--epochs", "many", "--out", out}, "expects a whole number"},
      {{"train", "--epochs", "-1", "--out", out}, "expects 0"},
      {{"train", "--lr", "nan", "--out", out}, "lr"},
      {{"train", "--schedule", "zigzag", "--out", out}, "onecycle"},
      {{"train", "--schedule", "multistep", "--milestones", "0.5,x", "--out", out}, "milestones"},
      {{"train", "--model", "resnet21", "--out", out}, "resnet20"},
      {{"train", "--data", "cifar11", "--out", out}, "cifar10"},
      {{"train", "--data", "cifar10", "--data-root", missing, "--out", out}, missing.c_str()},
      {{"train", "--train-size", "60000", "--out", out}, "60000"},
      {{"train", "--prune", "chainsaw", "--out", out}, "chainsaw"},
      {{"train", "--sparsity", "0.5", "--out", out}, "--prune"},
      {{"train", "--prune", "magnitude", "--sparsity", "90", "--out", out}, "sparsity"},
      {{"train", "--prune", "magnitude", "--pattern", "7:3", "--out", out}, "7:3"},
      {{"train", "--weights", missing, "--out", out}, "missing"},
      {{"train", "--weights", empty, "--out", out}, "truncated"},
      {{"train", "--distill-from", missing, "--out", out}, "missing"},
      {{"train", "--distill-from", other, "--out", out}, "does not fit resnet20"},
      {{"train", "--distill-temperature", "0", "--out", out}, "distill-temperature"},
      {{"train", "--config", missing}, "missing"},
      {{"train", "--config", directory}, "directory"},
      {{"train", "--config", text}, "line 1"},
      {{"train", "--config", unknown}, "'epochs'"},
      {{"train", "--config", nested}, "expected a text"},
      {{"train", "--config", wrong, "--out", out}, "whole number"},
      {{"train", "--config", infinite, "--out", out}, "finite"},
      {{"eval", "--data", "synth"}, "--weights"},
      {{"eval", "--weights", missing}, "missing"},
      {{"eval", "--weights", directory}, "directory"},
      {{"eval", "--weights", empty}, "truncated"},
      {{"eval", "--weights", other}, "does not fit resnet20"},
      {{"eval", "--weights", nan}, "holds nan"},
      {{"eval", "--weights", other, "--mean", "0,0,0"}, "come together"},
      {{"eval", "--weights", other, "--split", "middle"}, "split"},
      {{"score", "magnitude", "--batch", missing, "--out", out}, "missing"},
      {{"score", "magnitude", "--batch", other, "--out", out}, "'images'"},
      {{"score", "chainsaw", "--batch", other, "--out", out}, "chainsaw"},
      {{"shrink", "--weights", missing, "--out", out}, "missing"},
      {{"shrink", "--weights", other, "--out", out}, "--model"},
      {{"quantize", "--out", out}, "--weights"},
      {{"quantize", "--weights", other}, "--out"},
      {{"quantize", "--weights", other, "--out", out}, "does not fit resnet20"},
      {{"quantize", "--weights", other, "--out", out, "--calibration", "guess"}, "calibration"},
      {{"quantize", "--weights", other, "--out", out, "--percentile", "0.3"}, "percentile"},
      {{"compress", "--out", out}, "--weights"},
      {{"compress", "--weights", other}, "--out"},
      {{"compress", "--weights", missing, "--out", out}, "missing"},
      {{"compress", "--weights", other, "--out", out}, "does not fit resnet20"},
      {{"compress", "--weights", other, "--out", out, "--fc-bits", "17"}, "fc-bits"},
      {{"decompress", "--weights", other, "--out", out}, "expects an .edc file"},
      {{"eval", "--weights", cut}, "truncated"},
      {{"report", missing}, "missing"},
      {{"report", directory}, "no runs in"},
      {{"methods", "chainsaw"}, "chainsaw"},
      {{"data"}, "subcommand"},
      {{"data", "info", "cifar11"}, "cifar10"},
      {{"data", "fetch", "cifar11"}, "cifar11"},
      {{"data", "synth", "--out", out, "--train-size", "0"}, "at least 5"},
  };
  for (const BadUse& use : table) {
    std::string line;
    for (const std::string& argument : use.arguments) line += argument + " ";
    const Outcome outcome = espalier_command(use.arguments);
    EXPECT_EQ(outcome.code, kExitBadUse) << line << "\n" << outcome.err;
    EXPECT_NE(outcome.err.find(use.message), std::string::npos) << line << "\n" << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(folder / "run")) << line;
  }
}

TEST(Doctor, TellsMachineBlasAndDataSets) {
  const Outcome outcome = espalier_command({"doctor", "--json", "--data-root", "/nowhere"});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  const auto json = outcome.json();
  EXPECT_TRUE(json.at("blas").at("ok").get<bool>());
  EXPECT_LT(json.at("blas").at("error").get<double>(), 1e-5);
  const auto& hand_over = json.at("machine").at("hand_over_ns");
  if (num_threads() > 1) {
    EXPECT_GT(hand_over.at("nearest").get<double>(), 1.0);
    EXPECT_LE(hand_over.at("nearest").get<double>(), hand_over.at("farthest").get<double>());
  }
  for (const auto& dataset : json.at("datasets")) {
    EXPECT_EQ(dataset.at("found").get<bool>(), dataset.at("name") == "synth") << dataset;
  }
}

TEST(Methods, ListHasThePromisedKeysAndTheTableANameEach) {
  const auto json = espalier_command({"methods", "--json"}).json();
  const std::string table = espalier_command({"methods"}).out;
  ASSERT_FALSE(json.empty());
  for (const auto& method : json) {
    for (const char* key : {"name",
                            "title",
                            "paper",
                            "year",
                            "speedup",
                            "when",
                            "how",
                            "one_shot",
                            "global",
                            "data_free",
                            "options"}) {
      EXPECT_TRUE(method.contains(key)) << key;
    }
    const auto name = method.at("name").get<std::string>();
    EXPECT_NE(table.find(name), std::string::npos);
    const Outcome one = espalier_command({"methods", name});
    EXPECT_EQ(one.code, kExitOk);
    EXPECT_NE(one.out.find(method.at("paper").get<std::string>()), std::string::npos) << one.out;
  }
}

TEST(Methods, FiltersKeepThoseThatAreAllOfIt) {
  const auto names = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"methods", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::set<std::string> out;
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
    for (const auto& one : outcome.json()) out.insert(one.at("name").get<std::string>());
    return out;
  };
  const std::set<std::string> all = names({});
  std::set<std::string> together;
  for (const char* when : {"before", "during", "after", "runtime"}) {
    for (const std::string& one : names({"--when", when})) {
      EXPECT_TRUE(together.insert(one).second) << one << " twice";
    }
  }
  EXPECT_EQ(together, all);
  const std::set<std::string> free = names({"--when", "before", "--data-free"});
  EXPECT_TRUE(free.contains("synflow") && free.contains("random"));
  EXPECT_FALSE(free.contains("snip") || free.contains("magnitude"));
  const std::set<std::string> others = names({"--when", "before", "--no-data-free"});
  EXPECT_TRUE(others.contains("snip"));
  EXPECT_FALSE(others.contains("synflow"));
  EXPECT_EQ(free.size() + others.size(), names({"--when", "before"}).size());
  // By any of its patterns: magnitude removes whole channels too.
  const std::set<std::string> structured = names({"--speedup", "structured", "--when", "after"});
  EXPECT_TRUE(structured.contains("l1-filters") && structured.contains("magnitude"));
  EXPECT_FALSE(structured.contains("sparsegpt"));
  const std::string text = espalier_command({"methods", "--when", "runtime"}).out;
  EXPECT_NE(text.find("At run time ("), std::string::npos) << text;
  EXPECT_EQ(text.find("Before training"), std::string::npos) << text;
  EXPECT_EQ(espalier_command({"methods", "gmp", "--data-free"}).code, kExitBadUse);
  EXPECT_EQ(espalier_command({"methods", "--when", "noon"}).code, kExitBadUse);
}

TEST(Data, ListNamesSynthAsFound) {
  const auto json = espalier_command({"data", "list", "--json", "--data-root", "/nowhere"}).json();
  std::set<std::string> found;
  for (const auto& dataset : json) {
    if (dataset.at("found").get<bool>()) found.insert(dataset.at("name").get<std::string>());
  }
  EXPECT_EQ(found, std::set<std::string>{"synth"});
}

TEST(Data, SynthOnDiskIsReadBackAsCifar10) {
  const TemporaryFolder folder;
  const Outcome written = espalier_command({"data",
                                            "synth",
                                            "--out",
                                            (folder / "cifar10").string(),
                                            "--train-size",
                                            "50",
                                            "--test-size",
                                            "20"});
  ASSERT_EQ(written.code, kExitOk) << written.err;
  const auto info =
      espalier_command({"data", "info", "cifar10", "--json", "--data-root", folder.path().string()})
          .json();
  EXPECT_EQ(info.at("train").at("samples"), 50);
  EXPECT_EQ(info.at("test").at("per_class"), nlohmann::json(std::vector<int>(10, 2)));
}

// 9,173 of 10,000 is what an independent float32 evaluation of these weights gets.
TEST(Eval, AgreesWithThePublishedAccuracyWithinTwoImages) {
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
  const auto json = espalier_command({"eval",
                                      "--model",
                                      "resnet20",
                                      "--weights",
                                      weights.string(),
                                      "--data",
                                      "cifar10",
                                      "--data-root",
                                      data,
                                      "--mean",
                                      "0.485,0.456,0.406",
                                      "--std",
                                      "0.229,0.224,0.225",
                                      "--json"})
                        .json();
  EXPECT_EQ(json.at("total"), 10000);
  EXPECT_NEAR(json.at("correct").get<int>(), 9173, 2);
  EXPECT_EQ(json.at("params"), 269722);
}

}  // namespace
}  // namespace espalier::experiments
