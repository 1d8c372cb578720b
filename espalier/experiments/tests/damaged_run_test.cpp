// SPDX-License-Identifier: Apache-2.0
// Runs whose files are damaged, cut or missing, and runs whose numbers are none.
#include <espalier/core/io.h>
#include <espalier/core/safetensors.h>
#include <espalier/experiments/run/run_folder.h>

#include "runs.h"

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

void put(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void flip(const fs::path& path, size_t at) {
  std::string bytes = slurp(path);
  ASSERT_LT(at, bytes.size());
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  put(path, bytes);
}

void expect_has(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "no '" << part << "' in: " << text;
}

// Metrics of a run without what time it took.
nlohmann::json metrics_of(const fs::path& folder) {
  nlohmann::json out = nlohmann::json::array();
  std::istringstream lines(slurp(folder / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    out.push_back(nlohmann::json::parse(line));
    out.back().erase("seconds");
  }
  return out;
}

nlohmann::json run_json(const fs::path& folder) {
  return nlohmann::json::parse(slurp(folder / "run.json"));
}

// Copies of finished runs of two epochs, to spoil: both checkpoints are there.
class DamagedRun : public Runs {
 protected:
  void SetUp() override {
    Runs::SetUp();
    fs::copy(path("pruned"), run_, fs::copy_options::recursive);
    ASSERT_TRUE(fs::exists(run_ / "state.previous.safetensors"));
  }
  Outcome again() const { return espalier_command(tiny_training(run_, kGradual)); }
  // The same command ends with the bytes that it had, and tells what it did with `name`.
  void expect_mended(const std::string& name) const {
    const Outcome outcome = again();
    ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
    expect_has(outcome.err, name);
    expect_has(run_json(run_).at("notes").dump(), name);
    EXPECT_EQ(run_json(run_).at("status"), "finished");
    EXPECT_EQ(slurp(run_ / "model.safetensors"), slurp(path("pruned/model.safetensors")));
    EXPECT_EQ(metrics_of(run_), metrics_of(path("pruned")));
    const Outcome verified = espalier_command({"verify", run_.string()});
    EXPECT_EQ(verified.code, kExitOk) << verified.out;
  }
  // The same command is refused, and nothing is lost by that.
  void expect_refused(const std::vector<std::string>& names) const {
    const Outcome outcome = again();
    EXPECT_EQ(outcome.code, kExitBadUse) << outcome.err;
    for (const std::string& name : names) expect_has(outcome.err, name);
    EXPECT_EQ(run_json(run_).at("results"), run_json(path("pruned")).at("results"));
  }

  TemporaryFolder copies_;
  fs::path run_ = copies_ / "run";
};

TEST_F(DamagedRun, GoesOnFromTheCheckpointBeforeADamagedOne) {
  fs::remove(run_ / "model.safetensors");
  flip(run_ / "state.safetensors", slurp(run_ / "state.safetensors").size() / 2);
  expect_mended("state.previous.safetensors");
}

TEST_F(DamagedRun, GoesOnFromTheCheckpointBeforeOneThatIsCut) {
  fs::remove(run_ / "model.safetensors");
  const std::string state = slurp(run_ / "state.safetensors");
  for (const size_t size : {size_t{0}, state.size() / 3, state.size() - 1}) {
    put(run_ / "state.safetensors", state.substr(0, size));
    expect_mended("state.safetensors can't be read");
    fs::remove(run_ / "model.safetensors");
  }
}

TEST_F(DamagedRun, GoesOnFromTheCheckpointBeforeOneThatIsMissing) {
  fs::remove(run_ / "model.safetensors");
  fs::remove(run_ / "state.safetensors");
  expect_mended("state.safetensors is missing");
}

// A process that was killed between giving the newest checkpoint its second name and the next one.
TEST_F(DamagedRun, GoesOnWhenBothNamesAreOneFile) {
  fs::remove(run_ / "model.safetensors");
  fs::remove(run_ / "state.previous.safetensors");
  fs::create_hard_link(run_ / "state.safetensors", run_ / "state.previous.safetensors");
  // No process has that number.
  const fs::path link = run_ / ".state.previous.safetensors.tmp-2147483646-0";
  fs::create_hard_link(run_ / "state.safetensors", link);
  expect_mended("model.safetensors is missing");
  EXPECT_FALSE(fs::exists(link));
}

// The good one must not give way to the damaged one when the next is saved.
TEST_F(DamagedRun, ADamagedCheckpointIsNotKeptAsThePreviousOne) {
  fs::remove(run_ / "model.safetensors");
  flip(run_ / "state.safetensors", 1000);
  const std::string previous = slurp(run_ / "state.previous.safetensors");
  ASSERT_EQ(again().code, kExitOk);
  EXPECT_EQ(slurp(run_ / "state.previous.safetensors"), previous);
  EXPECT_NO_THROW(load_safetensors(run_ / "state.safetensors"));
}

TEST_F(DamagedRun, WithoutAWholeCheckpointNamesBoth) {
  fs::remove(run_ / "model.safetensors");
  flip(run_ / "state.safetensors", 1000);
  flip(run_ / "state.previous.safetensors", 1000);
  expect_refused({"state.safetensors", "state.previous.safetensors", "Remove the folder"});
}

TEST_F(DamagedRun, AModelThatIsDamagedIsMadeAgain) {
  for (const size_t at : {size_t{9}, size_t{40}, slurp(run_ / "model.safetensors").size() - 1}) {
    flip(run_ / "model.safetensors", at);
    expect_mended("model.safetensors can't be read");
  }
  fs::remove(run_ / "model.safetensors");
  expect_mended("model.safetensors is missing");
}

TEST_F(DamagedRun, AModelThatCannotBeMadeAgainIsNamed) {
  fs::remove(run_ / "state.safetensors");
  fs::remove(run_ / "state.previous.safetensors");
  flip(run_ / "model.safetensors", 1000);
  expect_refused({"model.safetensors", "no checkpoint"});
  fs::remove(run_ / "model.safetensors");
  expect_refused({"model.safetensors is missing", "no checkpoint"});
}

TEST_F(DamagedRun, AnotherRunsModelIsNotTheOneThatWasFinished) {
  put(run_ / "model.safetensors", slurp(path("dense/model.safetensors")));
  const Outcome report = espalier_command({"report", run_.string()});
  EXPECT_EQ(report.code, kExitBadUse) << report.out;
  expect_has(report.err, "model.safetensors is not the file that run.json tells");
  expect_mended("model.safetensors is not the file that run.json tells");
  EXPECT_EQ(espalier_command({"report", run_.string()}).code, kExitOk);
}

TEST_F(DamagedRun, AnotherRunsCheckpointIsNotTakenForAFinishedOne) {
  fs::remove(run_ / "model.safetensors");
  put(run_ / "state.safetensors", slurp(path("dense/state.safetensors")));
  put(run_ / "state.previous.safetensors", slurp(path("dense/state.previous.safetensors")));
  expect_refused({"state.safetensors is not the file", "state.previous.safetensors is not"});
  put(run_ / "state.previous.safetensors", slurp(path("pruned/state.previous.safetensors")));
  expect_mended("state.safetensors is not the file that run.json tells");
}

TEST_F(DamagedRun, MetricsOfAnotherRunAreNotReported) {
  put(run_ / "metrics.jsonl", slurp(path("dense/metrics.jsonl")));
  const Outcome report = espalier_command({"report", copies_.path().string()});
  EXPECT_EQ(report.code, kExitBadUse) << report.out;
  expect_has(report.err, "metrics.jsonl is not the file that run.json tells");
}

TEST_F(DamagedRun, AnyChangedByteOfACheckpointIsFound) {
  const fs::path state = run_ / "state.safetensors";
  const std::string good = slurp(state);
  for (size_t at = 0; at < good.size(); at += at < 512 ? 1 : 89) {
    for (const int change : {0x01, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ change);
      EXPECT_THROW(parse_safetensors({bad.begin(), bad.end()}, "state"), IoError) << at;
    }
  }
}

// The loss of training does not show it.
TEST(NotFiniteRun, WhoseRunningStatisticsOverflowFails) {
  const TemporaryFolder folder;
  const auto diverging = tiny_training(
      folder / "run",
      {"--lr", "30", "--schedule", "constant", "--momentum", "0.99", "--train-size", "400"});
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Outcome outcome = espalier_command(diverging);
    EXPECT_EQ(outcome.code, kExitFailed) << outcome.err;
    EXPECT_EQ(run_json(folder / "run").at("status"), "failed");
    expect_has(outcome.err, "expected finite numbers");
    expect_has(outcome.err, "running_");
    EXPECT_FALSE(fs::exists(folder / "run/model.safetensors"));
  }
}

// Weights that are numbers, whose sums are none.
TEST_F(DamagedRun, AnEvaluationThatIsNoNumberFails) {
  const fs::path file = copies_ / "huge.safetensors";
  SafetensorsFile huge = load_safetensors(path("dense/model.safetensors"));
  Tensor& weight = huge.tensors.at("fc.weight");
  for (int64_t i = 0; i < weight.numel(); ++i) {
    weight.data<float>()[i] = i % 2 == 0 ? 3e38F : -3e38F;
  }
  save_safetensors(file, huge);
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--compiled"}}) {
    std::vector<std::string> arguments = {
        "eval", "--weights", file.string(), "--test-size", "20", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitFailed) << outcome.out;
    expect_has(outcome.err, "the loss over 20 samples is");
  }
  const Outcome run = espalier_command(
      tiny_training(copies_ / "huge", {"--epochs", "0", "--weights", file.string()}));
  EXPECT_EQ(run.code, kExitFailed) << run.err;
  EXPECT_EQ(run_json(copies_ / "huge").at("status"), "failed");
}

class Verify : public DamagedRun {
 protected:
  static Outcome verify(const fs::path& path) {
    return espalier_command({"verify", path.string()});
  }
};

TEST_F(Verify, AWholeRunIsGood) {
  const Outcome outcome = verify(run_);
  EXPECT_EQ(outcome.code, kExitOk) << outcome.out;
  EXPECT_EQ(outcome.out.find("damaged"), std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.out.find("unchecked"), std::string::npos) << outcome.out;
  for (const char* name :
       {"model.safetensors", "state.safetensors", "state.previous.safetensors", "metrics.jsonl"}) {
    expect_has(outcome.out, (run_ / name).string());
  }
}

TEST_F(Verify, FindsAChangedByteInEveryFileOfARun) {
  for (const char* name : {"model.safetensors",
                           "state.safetensors",
                           "state.previous.safetensors",
                           "metrics.jsonl",
                           "metrics.csv",
                           "run.json"}) {
    const std::string good = slurp(run_ / name);
    for (size_t at = 0; at < good.size(); at += good.size() / 11 + 1) {
      flip(run_ / name, at);
      const Outcome outcome = verify(run_);
      EXPECT_EQ(outcome.code, kExitBadUse) << name << " at " << at << ": " << outcome.out;
      expect_has(outcome.out + outcome.err, name);
      put(run_ / name, good);
    }
  }
  EXPECT_EQ(verify(run_).code, kExitOk);
}

TEST_F(Verify, FindsFilesOfAnotherRun) {
  put(run_ / "model.safetensors", slurp(path("dense/model.safetensors")));
  Outcome outcome = verify(run_);
  EXPECT_EQ(outcome.code, kExitBadUse);
  expect_has(outcome.out, "is not the file that run.json tells");
  put(run_ / "model.safetensors", slurp(path("pruned/model.safetensors")));
  fs::remove(run_ / "model.safetensors");
  outcome = verify(run_);
  EXPECT_EQ(outcome.code, kExitBadUse);
  expect_has(outcome.out, "model.safetensors is missing");
}

TEST_F(Verify, TellsKindsAsJson) {
  ASSERT_EQ(espalier_command({"compress",
                              "--weights",
                              path("pruned/model.safetensors"),
                              "--out",
                              (copies_ / "net.edc").string()})
                .code,
            kExitOk);
  ASSERT_EQ(espalier_command({"eval",
                              "--weights",
                              path("pruned/model.safetensors"),
                              "--test-size",
                              "20",
                              "--compiled",
                              "--plan",
                              (copies_ / "net.plan").string()})
                .code,
            kExitOk);
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {(copies_ / "net.edc").string(), "compressed network"},
      {(copies_ / "net.plan").string(), "plan"},
      {path("pruned/model.safetensors"), "network"},
      {path("pruned/state.safetensors"), "checkpoint"}};
  std::vector<std::string> arguments = {"verify", "--json"};
  for (const auto& [file, kind] : kinds) arguments.push_back(file);
  const Outcome outcome = espalier_command(arguments);
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  const nlohmann::json json = outcome.json();
  EXPECT_EQ(json.at("damaged"), 0);
  ASSERT_EQ(json.at("files").size(), kinds.size());
  for (size_t i = 0; i < kinds.size(); ++i) {
    EXPECT_EQ(json.at("files")[i].at("path"), kinds[i].first);
    EXPECT_EQ(json.at("files")[i].at("kind"), kinds[i].second);
    EXPECT_EQ(json.at("files")[i].at("state"), "good");
  }
  for (const char* name : {"net.edc", "net.plan"}) {
    const std::string good = slurp(copies_ / name);
    for (size_t at = 0; at < good.size(); at += good.size() / 50) {
      flip(copies_ / name, at);
      EXPECT_EQ(verify(copies_ / name).code, kExitBadUse) << name << " at " << at;
      put(copies_ / name, good);
    }
  }
}

TEST_F(Verify, NamesWhatIsNoFileOfOurs) {
  const fs::path text = copies_.write("notes.txt", "some words, longer than eight bytes");
  const fs::path foreign =
      copies_.write("foreign.safetensors", std::string("\x02\0\0\0\0\0\0\0{}", 10));
  fs::create_directories(copies_ / "empty");
  Outcome outcome = verify(text);
  EXPECT_EQ(outcome.code, kExitBadUse);
  expect_has(outcome.out, "no kind of file that verify knows");
  outcome = verify(copies_ / "missing");
  EXPECT_EQ(outcome.code, kExitBadUse);
  expect_has(outcome.out, "missing");
  outcome = verify(copies_ / "empty");
  EXPECT_EQ(outcome.code, kExitBadUse);
  expect_has(outcome.out, "holds no run");
  outcome = verify(foreign);
  EXPECT_EQ(outcome.code, kExitOk);
  expect_has(outcome.out, "unchecked");
  // The folder that holds the run and the files, all but the text.
  outcome = verify(copies_.path());
  EXPECT_EQ(outcome.code, kExitOk) << outcome.out;
  expect_has(outcome.out, (run_ / "model.safetensors").string());
  expect_has(outcome.out, "foreign.safetensors");
  flip(run_ / "state.safetensors", 3000);
  EXPECT_EQ(verify(copies_.path()).code, kExitBadUse);
}

TEST_F(Verify, MissesEveryFileThatRunJsonTells) {
  const nlohmann::json run = run_json(run_);
  for (const auto& [name, told] : run.at("files").items()) {
    const std::string good = slurp(run_ / name);
    fs::remove(run_ / name);
    const Outcome outcome = verify(run_);
    EXPECT_EQ(outcome.code, kExitBadUse) << outcome.out;
    expect_has(outcome.out, name + " is missing");
    put(run_ / name, good);
  }
  EXPECT_EQ(verify(run_).code, kExitOk);
}

TEST_F(Verify, TakesARecordWithoutWeights) {
  nlohmann::ordered_json record = nlohmann::ordered_json::parse(slurp(run_ / "run.json"));
  record.erase("files");
  record.erase("checksum");
  put(run_ / "run.json", record.dump(2));
  for (const char* name :
       {"model.safetensors", "state.safetensors", "state.previous.safetensors", "metrics.jsonl"}) {
    fs::remove(run_ / name);
  }
  const Outcome outcome = verify(run_);
  EXPECT_EQ(outcome.code, kExitOk) << outcome.out;
  expect_has(outcome.out, "a record without weights");
}

}  // namespace
}  // namespace espalier::experiments
