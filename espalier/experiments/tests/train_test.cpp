// SPDX-License-Identifier: Apache-2.0
// Trainings of a second: what they write and how they continue.
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <espalier/core/safetensors.h>
#include <espalier/experiments/failure.h>

#include "runs.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

using Training = Runs;

TEST_F(Training, FolderHoldsSettingsMetricsModelAndState) {
  const auto run = nlohmann::json::parse(slurp(path("pruned/run.json")));
  EXPECT_EQ(run.at("status"), "finished");
  EXPECT_EQ(run.at("settings").at("batch"), 16);
  EXPECT_EQ(run.at("settings").at("width"), 0.25);
  EXPECT_EQ(run.at("settings").at("sparsity"), 0.8);
  EXPECT_EQ(run.at("settings").at("nesterov"), false);
  EXPECT_FALSE(run.at("machine").at("processor").get<std::string>().empty());
  std::istringstream lines(slurp(path("pruned/metrics.jsonl")));
  int64_t epoch = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json.at("epoch"), ++epoch);
    EXPECT_EQ(json.at("step"), 3 * epoch);
    for (const char* key : {"lr",
                            "train_loss",
                            "train_accuracy",
                            "test_loss",
                            "test_accuracy",
                            "sparsity",
                            "seconds"}) {
      EXPECT_TRUE(json.at(key).is_number()) << key;
    }
  }
  EXPECT_EQ(epoch, 2);
  EXPECT_EQ(slurp(path("pruned/metrics.csv")).substr(0, 14), "epoch,step,lr,");
  EXPECT_TRUE(std::filesystem::exists(path("pruned/state.safetensors")));
}

TEST_F(Training, AnNMPatternIsRecordedWithItsSparsity) {
  const Outcome run = espalier_command(
      tiny_training(path("n_m"), {"--prune", "magnitude", "--pattern", "2:4", "--epochs", "0"}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const auto json = nlohmann::json::parse(slurp(path("n_m/run.json")));
  EXPECT_EQ(json.at("settings").at("sparsity"), 0.5);
}

TEST_F(Training, ATeacherGoesWithAnyMethodAndChangesTheResult) {
  const std::string teacher = path("dense/model.safetensors");
  const auto weights = [&](const char* name, std::vector<std::string> more) {
    more.insert(more.end(), kGradual.begin(), kGradual.end());
    const Outcome run = espalier_command(tiny_training(path(name), more));
    EXPECT_EQ(run.code, kExitOk) << run.err;
    return load_safetensors(path(name) + "/model.safetensors")
        .tensors.at("fc.weight")
        .to_vector<float>();
  };
  const auto plain =
      load_safetensors(path("pruned/model.safetensors")).tensors.at("fc.weight").to_vector<float>();
  EXPECT_NE(weights("distilled", {"--distill-from", teacher}), plain);
  // Without a share in the loss the teacher is not there.
  EXPECT_EQ(weights("unheard", {"--distill-from", teacher, "--distill-weight", "0"}), plain);
  const auto run = nlohmann::json::parse(slurp(path("distilled/run.json")));
  EXPECT_EQ(run.at("settings").at("distill-temperature"), 4.0);
  EXPECT_TRUE(run.at("settings").contains("distill-from-fingerprint"));
}

TEST_F(Training, PrunedModelHasMasksOfTheAskedSparsity) {
  const SafetensorsFile file = load_safetensors(path("pruned/model.safetensors"));
  int64_t kept = 0;
  int64_t total = 0;
  int64_t layers = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (!name.ends_with(".mask")) continue;
    const Tensor& value = file.tensors.at(name.substr(0, name.size() - 5));
    const auto mask = tensor.to_vector<uint8_t>();
    const auto weights = value.to_vector<float>();
    for (size_t i = 0; i < mask.size(); ++i) {
      kept += mask[i];
      ASSERT_TRUE(mask[i] == 1 || weights[i] == 0.0f) << name;
    }
    total += tensor.numel();
    ++layers;
  }
  ASSERT_GT(total, 0);
  // Each layer rounds its own count by at most one half.
  EXPECT_NEAR(static_cast<double>(kept),
              0.2 * static_cast<double>(total),
              0.5 * static_cast<double>(layers));
  EXPECT_NEAR(pruned_->json().at("sparsity").get<double>(), 0.8, 0.001);
}

TEST_F(Training, ResultsHaveThePromisedKeys) {
  const auto json = pruned_->json();
  for (const char* key : {"accuracy",
                          "correct",
                          "total",
                          "loss",
                          "sparsity",
                          "params",
                          "params_nonzero",
                          "macs_dense",
                          "macs_effective",
                          "macs_executed",
                          "images_per_second"}) {
    EXPECT_TRUE(json.at(key).is_number()) << key;
  }
  EXPECT_EQ(json.at("total"), 20);
  EXPECT_LT(json.at("macs_effective").get<int64_t>(), json.at("macs_dense").get<int64_t>());
}

TEST_F(Training, EvalOfTheModelAgreesWithTheRunWithoutBeingToldWhatItIs) {
  const auto mine = tiny_evaluation(path("pruned/model.safetensors"));
  const auto run = pruned_->json();
  for (const char* key :
       {"correct", "loss", "sparsity", "params", "params_nonzero", "macs_dense"}) {
    EXPECT_EQ(mine.at(key), run.at(key)) << key;
  }
}

TEST_F(Training, AFinishedRunReturnsAtOnceAndChangesNothing) {
  const std::string before = slurp(path("pruned/run.json"));
  const auto time = std::filesystem::last_write_time(path("pruned/model.safetensors"));
  const Outcome again = espalier_command(tiny_training(path("pruned"), kGradual));
  EXPECT_EQ(again.code, kExitOk);
  EXPECT_NE(again.out.find("was finished"), std::string::npos);
  EXPECT_EQ(slurp(path("pruned/run.json")), before);
  EXPECT_EQ(std::filesystem::last_write_time(path("pruned/model.safetensors")), time);
}

TEST_F(Training, OtherSettingsAreRefusedByName) {
  auto flags = kGradual;
  flags.insert(flags.end(), {"--lr", "0.05", "--momentum", "0.8"});
  const Outcome other = espalier_command(tiny_training(path("pruned"), flags));
  EXPECT_EQ(other.code, kExitBadUse);
  EXPECT_NE(other.err.find("lr: the folder has 0.1, asked for 0.05"), std::string::npos)
      << other.err;
  EXPECT_NE(other.err.find("momentum"), std::string::npos);
  EXPECT_EQ(other.err.find("batch"), std::string::npos);
  const Outcome dense = espalier_command(tiny_training(path("pruned")));
  EXPECT_EQ(dense.code, kExitBadUse);
  EXPECT_NE(dense.err.find("prune"), std::string::npos) << dense.err;
}

// Options are added with time; what was run before there was one went by its default.
TEST_F(Training, AFolderFromBeforeAnOptionTakesItsDefault) {
  const std::filesystem::path old = path("old");
  std::filesystem::copy(path("pruned"), old);
  auto run = nlohmann::json::parse(slurp(old / "run.json"));
  for (const char* option : {"elastic", "frequency", "clip-norm"}) {
    ASSERT_EQ(run["settings"].erase(option), 1u) << option;
  }
  std::ofstream(old / "run.json", std::ios::trunc) << run.dump();
  const Outcome same = espalier_command(tiny_training(old, kGradual));
  EXPECT_EQ(same.code, kExitOk) << same.err;
  auto clipped = kGradual;
  clipped.insert(clipped.end(), {"--clip-norm", "1"});
  const Outcome other = espalier_command(tiny_training(old, clipped));
  EXPECT_EQ(other.code, kExitBadUse);
  EXPECT_NE(other.err.find("clip-norm: the folder has 0.0, asked for 1.0"), std::string::npos)
      << other.err;
}

TEST_F(Training, WeightsOfOneRunStartTheNext) {
  const Outcome zero = espalier_command(
      tiny_training(path("copy"), {"--epochs", "0", "--weights", path("dense/model.safetensors")}));
  ASSERT_EQ(zero.code, kExitOk) << zero.err;
  EXPECT_EQ(
      load_safetensors(path("copy/model.safetensors")).tensors.at("fc.weight").to_vector<float>(),
      load_safetensors(path("dense/model.safetensors")).tensors.at("fc.weight").to_vector<float>());
}

TEST_F(Training, TheRecordNamesTheNetworkThatTheWeightsBrought) {
  const std::string weights = path("dense/model.safetensors");
  const std::vector<std::string> plain = {
      "train", "--weights", weights, "--data", "synth", "--epochs", "0", "--test-size", "20"};
  auto call = plain;
  call.insert(call.end(), {"--out", path("brought")});
  const Outcome run = espalier_command(call);  // model and width are left at their defaults
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const auto settings = nlohmann::json::parse(slurp(path("brought/run.json"))).at("settings");
  EXPECT_EQ(settings.at("model"), "resnet20");
  EXPECT_EQ(settings.at("width"), 0.25);
  for (const auto& [option, value] : std::vector<std::pair<std::string, std::string>>{
           {"--model", "vgg16"}, {"--width", "0.5"}, {"--shortcut", "B"}}) {
    auto other = plain;
    other.insert(other.end(), {option, value, "--out", path("refused")});
    const Outcome refused = espalier_command(other);
    EXPECT_EQ(refused.code, kExitBadUse) << option;
    EXPECT_NE(refused.err.find(option), std::string::npos) << refused.err;
    EXPECT_FALSE(std::filesystem::exists(path("refused")));
  }
}

TEST(Train, AModelOfOneWidthRefusesAnother) {
  const Outcome outcome =
      espalier_command({"train", "--model", "lenet5", "--width", "0.5", "--data", "synth"});
  EXPECT_EQ(outcome.code, kExitBadUse);
  EXPECT_NE(outcome.err.find("lenet5 has one width"), std::string::npos) << outcome.err;
}

TEST_F(Training, NormalizationIsTheDataSetsUnlessTold) {
  const auto last_line = [](const std::filesystem::path& folder) {
    std::istringstream lines(slurp(folder / "metrics.jsonl"));
    nlohmann::json line;
    for (std::string text; std::getline(lines, text);) line = nlohmann::json::parse(text);
    return line;
  };
  const auto trained = [&](const char* name, const char* mean, const char* std) {
    const Outcome run = espalier_command(tiny_training(path(name), {"--mean", mean, "--std", std}));
    EXPECT_EQ(run.code, kExitOk) << run.err;
    return last_line(path(name));
  };
  const auto plain = last_line(path("dense"));
  const auto same = trained("same", "0.493,0.493,0.493", "0.226,0.226,0.226");
  const auto other = trained("other", "0.485,0.456,0.406", "0.229,0.224,0.225");
  EXPECT_EQ(same.at("train_loss"), plain.at("train_loss"));
  EXPECT_EQ(same.at("test_loss"), plain.at("test_loss"));
  EXPECT_NE(other.at("train_loss"), plain.at("train_loss"));
  EXPECT_NE(other.at("test_loss"), plain.at("test_loss"));
}

TEST_F(Training, ConfigurationFilesGiveTheSameRunAsFlags) {
  const auto config = folder_->write("run.toml",
                                     "model = \"resnet20\"\nwidth = 0.25\ndata = \"synth\"\n"
                                     "batch = 16\nepochs = 5\nseed = 3\nthreads = 1\n"
                                     "train-size = 40\ntest-size = 20\nprune = \"gmp\"\n"
                                     "sparsity = 0.8\n");
  const Outcome run = espalier_command(
      {"train", "--config", config.string(), "--epochs", "2", "--out", path("configured")});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(slurp(path("configured/model.safetensors")), slurp(path("pruned/model.safetensors")));
}

TEST_F(Training, ThreadsAndWorkersDoNotChangeABit) {
  auto flags = kGradual;
  flags.insert(flags.end(), {"--threads", "3", "--workers", "2", "--checkpoint-every", "1"});
  const Outcome run = espalier_command(tiny_training(path("threads"), flags));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(slurp(path("threads/model.safetensors")), slurp(path("pruned/model.safetensors")));
}

TEST(TrainFolder, WithoutRunJsonIsNotOverwritten) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", "someone's");
  const Outcome run = espalier_command(tiny_training(folder.path()));
  EXPECT_EQ(run.code, kExitBadUse);
  EXPECT_EQ(slurp(folder / "model.safetensors"), "someone's");
}

TEST(TrainFolder, OfAnotherProcessIsRefused) {
  const TemporaryFolder folder;
  const int lock = ::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  const Outcome run = espalier_command(tiny_training(folder.path()));
  ::close(lock);
  EXPECT_EQ(run.code, kExitBadUse);
  EXPECT_NE(run.err.find("another process"), std::string::npos) << run.err;
}

TEST(TrainFolder, DamagedFilesOfARunAreNamedAndKept) {
  for (const char* name : {"run.json", "state.safetensors"}) {
    const TemporaryFolder folder;
    ASSERT_EQ(espalier_command(tiny_training(folder / "run", {"--epochs", "1"})).code, kExitOk);
    std::filesystem::remove(folder / "run/model.safetensors");
    const std::string good = slurp(folder / "run" / name);
    for (const std::string& bad : {std::string(), good.substr(0, good.size() / 2)}) {
      std::ofstream(folder / "run" / name, std::ios::binary | std::ios::trunc) << bad;
      const Outcome run = espalier_command(tiny_training(folder / "run", {"--epochs", "1"}));
      EXPECT_EQ(run.code, kExitBadUse) << name << run.err;
      EXPECT_NE(run.err.find(name), std::string::npos) << run.err;
      EXPECT_EQ(slurp(folder / "run" / name), bad);
    }
  }
}

TEST(Train, ADivergingLossFailsWhileRunning) {
  const TemporaryFolder folder;
  const Outcome run = espalier_command(
      tiny_training(folder / "run", {"--lr", "1000", "--schedule", "constant", "--epochs", "9"}));
  EXPECT_EQ(run.code, kExitFailed) << run.err;
  EXPECT_NE(run.err.find("loss"), std::string::npos) << run.err;
}

}  // namespace
}  // namespace espalier::experiments
