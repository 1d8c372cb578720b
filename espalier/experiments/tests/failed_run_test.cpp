// SPDX-License-Identifier: Apache-2.0
// Runs that can't begin, runs that fail on their way, and output that can't be written.
#include <sstream>

#include <espalier/core/io.h>
#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using espalier::testing::TemporaryFolder;

nlohmann::json run_json(const fs::path& folder) {
  const std::vector<uint8_t> bytes = read_file(folder / "run.json", "run");
  return nlohmann::json::parse(bytes.begin(), bytes.end());
}

// What a method only finds when it sees the network is still bad use, and leaves nothing behind.
TEST(FailedRun, ThatCannotBeginLeavesNoFolder) {
  const TemporaryFolder folder;
  const std::vector<std::vector<std::string>> bad = {
      {"--prune", "magnitude", "--exclude", "nosuch"},
      {"--prune", "gmp", "--sparsity", "0.5", "--initial-sparsity", "0.9"},
      {"--prune", "l1-filters", "--layer-sparsity", "foo=0.2"}};
  for (const auto& options : bad) {
    const Outcome outcome = espalier_command(tiny_training(folder / "run", options));
    EXPECT_EQ(outcome.code, kExitBadUse) << outcome.err;
    EXPECT_FALSE(fs::exists(folder / "run")) << options.back();
  }
}

TEST(FailedRun, WithoutACheckpointDoesNotBlockItsFolder) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "run");
  folder.write("run/run.json", R"({"status": "running", "settings": {"model": "vgg16"}})");
  const Outcome outcome = espalier_command(tiny_training(folder / "run", {"--epochs", "1"}));
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_EQ(run_json(folder / "run").at("settings").at("model"), "resnet20");
  // Now there is something to lose.
  const Outcome other = espalier_command(tiny_training(folder / "run", {"--epochs", "3"}));
  EXPECT_EQ(other.code, kExitBadUse);
  EXPECT_NE(other.err.find("holds a run with other settings"), std::string::npos) << other.err;
}

// As the recorded runs are: run.json with its results, metrics.csv, and no weights.
TEST(FailedRun, RecordsWithoutWeightsAreNotReplaced) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "run");
  const std::string record =
      R"({"status": "finished", "settings": {"model": "vgg16"}, "results": {"accuracy": 0.9}})";
  const fs::path file = folder.write("run/run.json", record);
  const Outcome outcome = espalier_command(tiny_training(folder / "run"));
  EXPECT_EQ(outcome.code, kExitBadUse);
  EXPECT_NE(outcome.err.find("holds a run with other settings"), std::string::npos) << outcome.err;
  const std::vector<uint8_t> bytes = read_file(file, "run");
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), record);

  folder.write("run/run.json", R"({"status": "running", "settings": {"model": "vgg16"}})");
  folder.write("run/metrics.csv", "epoch\n1\n");
  EXPECT_EQ(espalier_command(tiny_training(folder / "run")).code, kExitBadUse);
}

TEST(FailedRun, FilesOfItsNamesThatAreNoRunsAreNotReplaced) {
  for (const char* name : {"model.safetensors",
                           "state.safetensors",
                           "state.previous.safetensors",
                           "state.swap.safetensors",
                           "metrics.jsonl",
                           "metrics.csv"}) {
    const TemporaryFolder folder;
    folder.write(name, "somebody's");
    const Outcome outcome = espalier_command(tiny_training(folder.path(), {"--epochs", "1"}));
    EXPECT_EQ(outcome.code, kExitBadUse) << name;
    EXPECT_NE(outcome.err.find("but no run.json"), std::string::npos) << outcome.err;
    EXPECT_EQ(folder.names().size(), 1u);
  }
}

TEST(FailedRun, MeasurementsOfARunThatHadNotBegunAreUsed) {
  const TemporaryFolder folder;
  const auto timed = tiny_training(
      folder / "run", {"--epochs", "0", "--prune", "magnitude", "--target", "latency=0.9"});
  const Outcome first = espalier_command(timed);
  ASSERT_EQ(first.code, kExitOk) << first.err;
  const std::vector<uint8_t> measured = read_file(folder / "run/latencies.json", "test");
  for (const auto& entry : std::filesystem::directory_iterator(folder / "run")) {
    if (entry.path().filename() != "latencies.json") std::filesystem::remove(entry.path());
  }
  const Outcome second = espalier_command(timed);
  EXPECT_EQ(second.code, kExitOk) << second.err;
  EXPECT_EQ(read_file(folder / "run/latencies.json", "test"), measured);
}

TEST(FailedRun, IsMarkedAndNamedInTheReport) {
  const TemporaryFolder folder;
  const auto diverging =
      tiny_training(folder / "run", {"--lr", "1000", "--schedule", "constant", "--epochs", "20"});
  for (int attempt = 0; attempt < 2; ++attempt) {  // the second from the checkpoint
    const Outcome outcome = espalier_command(diverging);
    EXPECT_EQ(outcome.code, kExitFailed) << outcome.err;
    const auto run = run_json(folder / "run");
    EXPECT_EQ(run.at("status"), "failed");
    EXPECT_NE(run.at("error").get<std::string>().find("loss"), std::string::npos);
  }
  const Outcome report = espalier_command({"report", (folder / "run").string()});
  EXPECT_EQ(report.code, kExitOk) << report.err;
  EXPECT_NE(report.out.find("(failed)"), std::string::npos) << report.out;
}

TEST(FailedRun, OutputThatCannotBeWrittenIsAFailure) {
  std::ostringstream out;
  std::ostringstream err;
  out.setstate(std::ios::badbit);  // as behind `> /dev/full`
  Console console{.out = out, .err = err};
  EXPECT_EQ(run_command({"methods"}, console), kExitFailed);
  EXPECT_NE(err.str().find("standard output"), std::string::npos) << err.str();
}

}  // namespace
}  // namespace espalier::experiments
