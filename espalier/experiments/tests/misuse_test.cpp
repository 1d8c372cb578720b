// SPDX-License-Identifier: Apache-2.0
// What the command says of names that it does not know, of data that is not there, and of options
// that would do nothing.
#include <espalier/data/fetch.h>
#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::TemporaryFolder;

// The error of a call that must be refused.
std::string refusal(const std::vector<std::string>& arguments) {
  const Outcome outcome = espalier_command(arguments);
  EXPECT_EQ(outcome.code, kExitBadUse) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(outcome.err.starts_with("espalier: ")) << outcome.err;
  return outcome.err;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Misuse, AnUnknownOptionIsNamedWithTheNearestOfItsVerb) {
  EXPECT_EQ(refusal({"train", "--sparsty", "0.9"}),
            "espalier: 'espalier train' has no option '--sparsty'; the nearest is '--sparsity'; "
            "`espalier train --help` lists them\n");
  EXPECT_EQ(refusal({"data", "fetch", "mnist", "--dataroot=x"}),
            "espalier: 'espalier data fetch' has no option '--dataroot'; the nearest is "
            "'--data-root'; `espalier data fetch --help` lists them\n");
  EXPECT_TRUE(has(refusal({"eval", "-wieghts", "x"}), "the nearest is '--weights'"));
}

TEST(Misuse, TheFirstUnknownOptionIsNamed) {
  const std::string text = refusal({"train", "--epochs", "1", "--wings", "2", "--sparsty", "0.9"});
  EXPECT_EQ(text,
            "espalier: 'espalier train' has no option '--wings'; `espalier train --help` lists "
            "them\n");
}

TEST(Misuse, AnUnknownOptionComesBeforeOneThatIsMissingForIt) {
  EXPECT_TRUE(has(refusal({"shrink", "--wieghts", "x", "--out", "y"}), "'--wieghts'"));
  EXPECT_EQ(refusal({"--foo"}),
            "espalier: 'espalier' has no option '--foo'; `espalier --help` lists them\n");
}

TEST(Misuse, OtherErrorsOfFlagsNameTheVerbToo) {
  EXPECT_TRUE(has(refusal({"shrink", "--out", "y"}), "'espalier shrink': --weights is required"));
  EXPECT_TRUE(has(refusal({"data"}), "`espalier data --help`"));
}

TEST(Misuse, AnUnknownVerbIsNamedWithTheNearest) {
  EXPECT_TRUE(has(refusal({"tran"}), "no verb 'tran'; the nearest is 'train'"));
  EXPECT_TRUE(has(refusal({"data", "ftch", "mnist"}), "no verb 'ftch'; the nearest is 'fetch'"));
}

TEST(Misuse, AnArgumentTooManyIsNamed) {
  EXPECT_TRUE(has(refusal({"methods", "gmp", "snip"}), "no further argument, got 'snip'"));
}

TEST(Misuse, NamesFarFromAllAreNotTakenForOthers) {
  const TemporaryFolder folder;
  const std::string out = (folder / "run").string();
  for (const std::string& text :
       {refusal({"methods", "foo"}), refusal({"train", "--model", "foo", "--out", out})}) {
    EXPECT_TRUE(has(text, "'foo'")) << text;
    EXPECT_FALSE(has(text, "Did you mean")) << text;
  }
  const std::string config = folder.write("far.toml", "zzzzzzzz = 1\n").string();
  EXPECT_FALSE(has(refusal({"train", "--config", config}), "nearest"));
}

TEST(Misuse, DataThatIsNotThereComesWithHowToGetIt) {
  const TemporaryFolder folder;
  const std::string root = (folder / "none").string();
  for (const data::RemoteDataset& remote : data::remote_datasets()) {
    for (const std::string& text : {refusal({"train", "--data", remote.name, "--data-root", root}),
                                    refusal({"data", "info", remote.name, "--data-root", root})}) {
      EXPECT_TRUE(has(text, "`espalier data fetch " + remote.name + " --data-root " + root + "`"))
          << text;
      EXPECT_TRUE(has(text, "ESPALIER_DATA")) << text;
    }
  }
  EXPECT_FALSE(has(refusal({"train", "--data", "folder:" + root}), "data fetch"));
}

TEST(Misuse, DataThatIsThereButBadComesWithoutHowToGetIt) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "cifar10");
  folder.write("cifar10/data_batch_1.bin", "too short");
  const std::string text =
      refusal({"train", "--data", "cifar10", "--data-root", folder.path().string()});
  EXPECT_FALSE(has(text, "data fetch")) << text;
}

TEST(Misuse, MilestonesInEpochsAreRefused) {
  const TemporaryFolder folder;
  const std::string text =
      refusal(tiny_training(folder / "run", {"--schedule", "multistep", "--milestones", "15,25"}));
  EXPECT_TRUE(has(text, "milestones as fractions of training (0..1), got 15")) << text;
}

TEST(Misuse, AnOptionThatWouldDoNothingIsRefused) {
  const TemporaryFolder folder;
  const auto train = [&](const std::vector<std::string>& more) {
    return refusal(tiny_training(folder / "run", more));
  };
  EXPECT_TRUE(has(train({"--milestones", "0.5"}),
                  "train: --milestones needs --schedule multistep, got onecycle"));
  EXPECT_TRUE(has(train({"--schedule", "cosine", "--step-every", "3"}),
                  "train: --step-every needs --schedule step, got cosine"));
  EXPECT_TRUE(
      has(train({"--gamma", "0.5"}), "--gamma needs --schedule step or multistep, got onecycle"));
  EXPECT_TRUE(has(train({"--distill-weight", "0.5"}),
                  "--distill-weight needs --distill-from, which is not given"));
  EXPECT_TRUE(has(train({"--distill-temperature", "2"}), "needs --distill-from"));
  EXPECT_TRUE(has(train({"--quantize-freeze", "0.2"}), "needs --quantize int8, got none"));
  EXPECT_TRUE(has(train({"--optimizer", "adam", "--nesterov"}), "needs --optimizer sgd, got adam"));
  EXPECT_TRUE(has(train({"--optimizer", "adagrad", "--momentum", "0.5"}),
                  "needs --optimizer sgd or muon, got adagrad"));
  EXPECT_TRUE(has(train({"--scoring-input", "noise"}), "needs --prune"));
  EXPECT_TRUE(has(train({"--kernel-times", "x"}), "needs --kernels measured, got rule"));
  EXPECT_TRUE(has(refusal({"quantize", "--weights", "a", "--out", "b", "--percentile", "0.99"}),
                  "quantize: --percentile needs --calibration percentile, got mse"));
}

TEST(Misuse, OptionsThatAFileOfOursDecidesMustAgreeWithIt) {
  const TemporaryFolder folder;
  const auto trained = espalier_command(tiny_training(folder / "run", {"--epochs", "1"}));
  ASSERT_EQ(trained.code, kExitOk) << trained.err;
  const std::string weights = (folder / "run/model.safetensors").string();
  const auto eval = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"eval", "--weights", weights};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return refusal(arguments);
  };
  EXPECT_TRUE(has(eval({"--model", "vgg16"}), "holds a network with model \"resnet20\""));
  EXPECT_TRUE(has(eval({"--width", "0.5"}), "eval: --width 0.5 was asked for"));
  EXPECT_TRUE(has(eval({"--shortcut", "B"}), "with shortcut \"A\""));
  EXPECT_TRUE(has(eval({"--split", "train", "--test-size", "5"}),
                  "eval: --test-size needs --split test, got train"));
  EXPECT_TRUE(has(refusal({"quantize",
                           "--weights",
                           weights,
                           "--out",
                           (folder / "q").string(),
                           "--data",
                           "synth",
                           "--images",
                           "60000"}),
                  "60000"));
  EXPECT_TRUE(has(refusal({"eval", "--weights", (folder / "run/state.safetensors").string()}),
                  "is the checkpoint of a run"));
}

TEST(Misuse, WhatANetworkDoesNotHaveIsRefused) {
  const TemporaryFolder folder;
  const auto train = [&](const std::vector<std::string>& more) {
    return refusal(tiny_training(folder / "run", more));
  };
  EXPECT_TRUE(has(train({"--model", "lenet5", "--width", "1", "--shortcut", "B"}),
                  "lenet5 has no choice of shortcuts"));
  EXPECT_TRUE(has(train({"--warmup", "2"}), "would still rise at the end of 2 epochs"));
  EXPECT_TRUE(has(refusal({"report", "--port", "99", "runs"}), "--port needs --watch"));
}

TEST(Misuse, SynthDoesNotReplaceFilesOfOthers) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "cifar10");
  const std::filesystem::path precious = folder.write("cifar10/test_batch.bin", "precious");
  const auto synth = [&](const std::string& out) {
    return std::vector<std::string>{
        "data", "synth", "--out", out, "--train-size", "5", "--test-size", "1"};
  };
  EXPECT_TRUE(has(refusal(synth((folder / "cifar10").string())), "did not write"));
  EXPECT_EQ(std::filesystem::file_size(precious), 8U);
  folder.write("cifar10/records.txt", "test_batch.bin 1\n");  // a subset of somebody's
  EXPECT_TRUE(has(refusal(synth((folder / "cifar10").string())), "did not write"));
  EXPECT_TRUE(has(refusal(synth("")), "--out is empty"));
  for (int round = 0; round < 2; ++round) {  // its own files it does replace
    EXPECT_EQ(espalier_command(synth((folder / "digits").string())).code, kExitOk);
  }
}

TEST(Misuse, AConfigurationMaySetWhatAFlagMakesIdle) {
  const TemporaryFolder folder;
  const std::string config =
      folder.write("steps.toml", "schedule = \"multistep\"\nmilestones = [0.5]\n").string();
  const Outcome outcome = espalier_command(tiny_training(folder / "run",
                                                         {"--config",
                                                          config,
                                                          "--epochs",
                                                          "0",
                                                          "--schedule",
                                                          "cosine",
                                                          "--optimizer",
                                                          "adam",
                                                          "--no-nesterov"}));
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  const Outcome of_file = espalier_command(tiny_training(
      folder / "of_file", {"--config", config, "--epochs", "0", "--milestones", "0.25"}));
  EXPECT_EQ(of_file.code, kExitOk) << of_file.err;

  const std::string rounds = folder.write("rounds.toml", "until = 0.5\nrounds = 3\n").string();
  const std::vector<std::string> once = {
      "--prune", "magnitude", "--config", rounds, "--rounds", "1", "--epochs", "0"};
  const Outcome idle = espalier_command(tiny_training(folder / "idle", once));
  EXPECT_EQ(idle.code, kExitOk) << idle.err;
  std::vector<std::string> in_vain = once;
  in_vain.insert(in_vain.end(), {"--until", "0.5"});
  EXPECT_TRUE(has(refusal(tiny_training(folder / "vain", in_vain)),
                  "--until needs --rounds other than 1, got 1"));
}

}  // namespace
}  // namespace espalier::experiments
