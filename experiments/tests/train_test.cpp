// SPDX-License-Identifier: Apache-2.0
// Trainings of a second: what they write, how they continue, and what the other verbs make of them.
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <espalier/core/safetensors.h>
#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

const std::vector<std::string> kGradual = {"--prune", "gmp", "--sparsity", "0.8"};

// One dense and one pruned run, shared by the tests that only read them.
class Runs : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    auto json = kGradual;
    json.push_back("--json");
    dense_ = new Outcome(espalier_command(tiny_training(*folder_ / "dense")));
    pruned_ = new Outcome(espalier_command(tiny_training(*folder_ / "pruned", json)));
  }
  static void TearDownTestSuite() {
    delete folder_;
    delete dense_;
    delete pruned_;
  }
  void SetUp() override {
    ASSERT_EQ(dense_->code, kExitOk) << dense_->err;
    ASSERT_EQ(pruned_->code, kExitOk) << pruned_->err;
  }
  static std::string path(const char* name) { return (*folder_ / name).string(); }

  static TemporaryFolder* folder_;
  static Outcome* dense_;
  static Outcome* pruned_;
};
TemporaryFolder* Runs::folder_ = nullptr;
Outcome* Runs::dense_ = nullptr;
Outcome* Runs::pruned_ = nullptr;

TEST_F(Runs, FolderHoldsSettingsMetricsModelAndState) {
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

TEST_F(Runs, ATeacherGoesWithAnyMethodAndChangesTheResult) {
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

TEST_F(Runs, PrunedModelHasMasksOfTheAskedSparsity) {
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

TEST_F(Runs, ResultsHaveThePromisedKeys) {
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

TEST_F(Runs, EvalOfTheModelAgreesWithTheRunWithoutBeingToldWhatItIs) {
  const Outcome eval = espalier_command({"eval",
                                         "--weights",
                                         path("pruned/model.safetensors"),
                                         "--data",
                                         "synth",
                                         "--test-size",
                                         "20",
                                         "--json"});
  ASSERT_EQ(eval.code, kExitOk) << eval.err;
  const auto mine = eval.json();
  const auto run = pruned_->json();
  for (const char* key :
       {"correct", "loss", "sparsity", "params", "params_nonzero", "macs_dense"}) {
    EXPECT_EQ(mine.at(key), run.at(key)) << key;
  }
}

TEST_F(Runs, AFinishedRunReturnsAtOnceAndChangesNothing) {
  const std::string before = slurp(path("pruned/run.json"));
  const auto time = std::filesystem::last_write_time(path("pruned/model.safetensors"));
  const Outcome again = espalier_command(tiny_training(path("pruned"), kGradual));
  EXPECT_EQ(again.code, kExitOk);
  EXPECT_NE(again.out.find("was finished"), std::string::npos);
  EXPECT_EQ(slurp(path("pruned/run.json")), before);
  EXPECT_EQ(std::filesystem::last_write_time(path("pruned/model.safetensors")), time);
}

TEST_F(Runs, OtherSettingsAreRefusedByName) {
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
TEST_F(Runs, AFolderFromBeforeAnOptionTakesItsDefault) {
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

TEST_F(Runs, ReportShowsEveryRunInTextPageAndCsv) {
  const Outcome report =
      espalier_command({"report", path("dense"), path("pruned"), "--out", path("report.html")});
  ASSERT_EQ(report.code, kExitOk) << report.err;
  EXPECT_NE(report.out.find("pruned"), std::string::npos);
  const std::string page = slurp(path("report.html"));
  EXPECT_NE(page.find("<svg"), std::string::npos);
  for (const char* loading : {"src=\"http", "href=\"http", "src=\"/", "url(", "@import"}) {
    EXPECT_EQ(page.find(loading), std::string::npos) << "the page must need nothing but itself";
  }
  const std::string folder = path("pruned");
  EXPECT_NE(page.find("--prune gmp"), std::string::npos) << "the command that makes the run";
  EXPECT_NE(page.find("--out " + folder), std::string::npos);
  EXPECT_NE(page.find("Time of each layer"), std::string::npos);
  EXPECT_NE(page.find("Mask of fc"), std::string::npos);
  EXPECT_NE(page.find("Filters of conv1"), std::string::npos);
  std::istringstream csv(slurp(path("report.csv")));
  std::vector<std::string> lines;
  for (std::string line; std::getline(csv, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].substr(0, 22), "run,finished,accuracy,");
  EXPECT_EQ(lines[2].substr(0, 12), "pruned,true,");
}

TEST_F(Runs, ShrinkWritesANetworkThatComputesTheSame) {
  const Outcome run = espalier_command(
      tiny_training(path("filters"), {"--prune", "l1-filters", "--sparsity", "0.3"}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const Outcome shrunk = espalier_command({"shrink",
                                           "--weights",
                                           path("filters/model.safetensors"),
                                           "--out",
                                           path("small.safetensors"),
                                           "--json"});
  ASSERT_EQ(shrunk.code, kExitOk) << shrunk.err;
  EXPECT_LT(shrunk.json().at("params").get<int>(), shrunk.json().at("params_before").get<int>());
  const auto eval = [&](const std::string& weights) {
    return espalier_command(
               {"eval", "--weights", weights, "--data", "synth", "--test-size", "20", "--json"})
        .json();
  };
  const auto masked = eval(path("filters/model.safetensors"));
  const auto small = eval(path("small.safetensors"));
  EXPECT_EQ(small.at("correct"), masked.at("correct"));
  EXPECT_NEAR(small.at("loss").get<double>(), masked.at("loss").get<double>(), 1e-5);
  EXPECT_LT(small.at("macs_dense").get<int64_t>(), masked.at("macs_dense").get<int64_t>());
}

TEST_F(Runs, ShrinkPutsChannelsWithSimilarMasksSideBySide) {
  const Outcome gathered = espalier_command({"shrink",
                                             "--weights",
                                             path("pruned/model.safetensors"),
                                             "--out",
                                             path("gathered.safetensors"),
                                             "--gather-blocks",
                                             "--json"});
  ASSERT_EQ(gathered.code, kExitOk) << gathered.err;
  const auto json = gathered.json();
  ASSERT_FALSE(json.at("weights").empty());
  double before = 0.0;
  double after = 0.0;
  for (const auto& weight : json.at("weights")) {
    before += weight.at("fill_before").get<double>();
    after += weight.at("fill").get<double>();
  }
  EXPECT_GT(after, before);
  const auto eval = [&](const std::string& weights) {
    return espalier_command(
               {"eval", "--weights", weights, "--data", "synth", "--test-size", "20", "--json"})
        .json();
  };
  const auto old = eval(path("pruned/model.safetensors"));
  const auto reordered = eval(path("gathered.safetensors"));
  EXPECT_EQ(reordered.at("correct"), old.at("correct"));
  EXPECT_NEAR(reordered.at("loss").get<double>(), old.at("loss").get<double>(), 1e-5);
}

TEST_F(Runs, ScoresHaveTheNamesAndShapesOfTheWeights) {
  save_safetensors(*folder_ / "batch.safetensors",
                   {{{"images", Tensor::ones({4, 3, 32, 32})},
                     {"labels", Tensor::from<int64_t>({4}, {0, 1, 2, 9})}},
                    {}});
  const Outcome score = espalier_command({"score",
                                          "magnitude",
                                          "--weights",
                                          path("dense/model.safetensors"),
                                          "--batch",
                                          path("batch.safetensors"),
                                          "--out",
                                          path("scores.safetensors")});
  ASSERT_EQ(score.code, kExitOk) << score.err;
  const auto scores = load_safetensors(path("scores.safetensors")).tensors;
  const auto model = load_safetensors(path("dense/model.safetensors")).tensors;
  ASSERT_TRUE(scores.contains("conv1.weight"));
  for (const auto& [name, tensor] : scores)
    EXPECT_EQ(tensor.shape(), model.at(name).shape()) << name;
  const auto weights = model.at("conv1.weight").to_vector<double>();
  const auto magnitude = scores.at("conv1.weight").to_vector<double>();
  for (size_t i = 0; i < weights.size(); ++i) EXPECT_EQ(magnitude[i], std::abs(weights[i]));
}

TEST_F(Runs, ScoreRefusesBatchesThatDoNotFit) {
  const auto score = [&](const Tensor& images, const Tensor& labels) {
    save_safetensors(*folder_ / "bad.safetensors", {{{"images", images}, {"labels", labels}}, {}});
    const Outcome outcome = espalier_command({"score",
                                              "magnitude",
                                              "--weights",
                                              path("dense/model.safetensors"),
                                              "--batch",
                                              path("bad.safetensors"),
                                              "--out",
                                              path("no.safetensors")});
    EXPECT_FALSE(std::filesystem::exists(path("no.safetensors")));
    return outcome;
  };
  const Tensor images = Tensor::ones({2, 3, 32, 32});
  const Tensor labels = Tensor::from<int64_t>({2}, {0, 1});
  EXPECT_EQ(score(images, Tensor::from<int64_t>({2}, {0, 10})).code, kExitBadUse);
  EXPECT_EQ(score(images, Tensor::from<int64_t>({2}, {0, -1})).code, kExitBadUse);
  EXPECT_EQ(score(images, Tensor::from<int64_t>({3}, {0, 1, 2})).code, kExitBadUse);
  EXPECT_EQ(score(images, Tensor::from<int32_t>({2}, {0, 1})).code, kExitBadUse);
  EXPECT_EQ(score(Tensor::ones({2, 3, 28, 28}), labels).code, kExitBadUse);
  EXPECT_EQ(score(Tensor::ones({2, 3}), labels).code, kExitBadUse);
  EXPECT_EQ(score(Tensor::full({2, 3, 32, 32}, std::nan("")), labels).code, kExitBadUse);
}

TEST_F(Runs, WeightsOfOneRunStartTheNext) {
  const Outcome zero = espalier_command(
      tiny_training(path("copy"), {"--epochs", "0", "--weights", path("dense/model.safetensors")}));
  ASSERT_EQ(zero.code, kExitOk) << zero.err;
  EXPECT_EQ(
      load_safetensors(path("copy/model.safetensors")).tensors.at("fc.weight").to_vector<float>(),
      load_safetensors(path("dense/model.safetensors")).tensors.at("fc.weight").to_vector<float>());
}

TEST_F(Runs, ConfigurationFilesGiveTheSameRunAsFlags) {
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

TEST_F(Runs, ThreadsAndWorkersDoNotChangeABit) {
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
