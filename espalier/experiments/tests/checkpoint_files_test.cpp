// SPDX-License-Identifier: Apache-2.0
// A process that is killed at any step of replacing a checkpoint leaves two different whole ones.
#include <cerrno>
#include <csignal>
#include <set>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <espalier/core/safetensors.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/run/run_folder.h>

#include "command_line.h"

namespace {

int steps_left = 0;        // 0: nobody is killed
bool can_exchange = true;  // as the file system can

void step() {
  if (steps_left > 0 && --steps_left == 0) ::raise(SIGKILL);
}

}  // namespace

// In the place of those of the C library: what changes the names of files, and what puts them on
// the disk, with an instant before and one after it.
extern "C" int renameat2(
    int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  step();
  if (flags != 0 && !can_exchange) {
    errno = EINVAL;
    return -1;
  }
  const auto done = ::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  step();
  return static_cast<int>(done);
}

extern "C" int rename(const char* from, const char* to) noexcept {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

extern "C" int fsync(int file) {
  step();
  const auto done = ::syscall(SYS_fsync, file);
  step();
  return static_cast<int>(done);
}

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;
using Json = nlohmann::ordered_json;

const Json kSettings = {{"model", "resnet20"}};

std::vector<EpochMetrics> metrics(int epochs) {
  std::vector<EpochMetrics> out;
  for (int i = 1; i <= epochs; ++i) out.push_back({.epoch = i, .step = 10 * i});
  return out;
}

void save(RunFolder& folder, int epochs) {
  SafetensorsFile file;
  file.tensors["model/weight"] = Tensor::full({100}, static_cast<double>(epochs));
  file.tensors["progress/step"] = Tensor::full({1}, static_cast<double>(epochs));
  file.metadata["seconds"] = "1.0";
  folder.save_checkpoint(std::move(file), metrics(epochs));
}

size_t epochs_of(const fs::path& file) {
  return RunFolder::checkpoint_metrics(load_safetensors(file)).size();
}

// The epochs of the whole checkpoints that are there, each a file of its own.
std::set<size_t> whole_ones(const fs::path& folder) {
  std::set<size_t> out;
  for (const char* name : {kStateFile, kPreviousFile, kSwapFile}) {
    struct stat info {};
    if (::stat((folder / name).c_str(), &info) != 0) continue;
    EXPECT_EQ(info.st_nlink, 1u) << name;
    EXPECT_TRUE(out.insert(epochs_of(folder / name)).second) << name << " is there twice";
  }
  return out;
}

// How far a continued run is when one of the checkpoints has a flipped bit; none by default.
size_t continues_from(const fs::path& folder, const char* damaged = nullptr) {
  std::string good;
  if (damaged != nullptr) {
    std::string bad = good = slurp(folder / damaged);
    bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 1);
    std::ofstream(folder / damaged, std::ios::binary) << bad;
  }
  size_t epochs = 0;
  {
    RunFolder run(folder, kSettings, Json::object());
    const auto checkpoint = run.load_checkpoint();
    EXPECT_TRUE(checkpoint.has_value());
    if (checkpoint) epochs = RunFolder::checkpoint_metrics(*checkpoint).size();
  }
  if (damaged != nullptr) std::ofstream(folder / damaged, std::ios::binary) << good;
  return epochs;
}

// A process that saves a third checkpoint and is killed at its step `kill`. False when it ended.
bool is_killed(const fs::path& folder, int kill) {
  RunFolder run(folder, kSettings, Json::object());
  save(run, 1);
  save(run, 2);
  const pid_t child = ::fork();
  if (child == 0) {
    steps_left = kill;
    save(run, 3);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

class CheckpointFiles : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { can_exchange = GetParam(); }
  void TearDown() override { can_exchange = true; }
};

TEST_P(CheckpointFiles, AreTwoDifferentWholeOnesWheneverTheProcessIsKilled) {
  int kills = 0;
  for (bool killed = true; killed;) {
    SCOPED_TRACE(cat("killed at step ", kills + 1));
    const TemporaryFolder folder;
    const fs::path run = folder / "run";
    killed = is_killed(run, kills + 1);
    kills += killed ? 1 : 0;
    const std::set<size_t> there = whole_ones(run);
    ASSERT_EQ(there.size(), 2u);
    EXPECT_TRUE(there.contains(2)) << "the newest before was lost";
    const size_t epochs = continues_from(run);
    EXPECT_TRUE(there.contains(epochs));
    EXPECT_FALSE(fs::exists(run / kSwapFile));
    EXPECT_EQ(epochs_of(run / kStateFile), epochs);
    // Whichever of the two is damaged, the other one is taken.
    const std::set<size_t> others = {continues_from(run, kStateFile),
                                     continues_from(run, kPreviousFile)};
    EXPECT_EQ(others, there);
    {
      RunFolder again(run, kSettings, Json::object());
      again.write_metrics(RunFolder::checkpoint_metrics(*again.load_checkpoint()));
      EXPECT_EQ(read_run(run).metrics.size(), epochs);
      save(again, static_cast<int>(epochs) + 1);
    }
    EXPECT_EQ(whole_ones(run), (std::set<size_t>{epochs, epochs + 1}));
    EXPECT_EQ(epochs_of(run / kStateFile), epochs + 1);
  }
  EXPECT_GE(kills, 8);
}

// As one that is killed in its first epoch leaves behind.
TEST(CheckpointFiles, ARunWithoutAnEpochYetIsWholeAndNotTakenForOneAtWork) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run";
  const auto verify = [&] {
    const Outcome outcome = espalier_command({"verify", path.string()});
    EXPECT_EQ(outcome.code, kExitOk) << outcome.out;
    return outcome.out;
  };
  {
    RunFolder run(path, kSettings, Json::object());
    save(run, 0);
    EXPECT_NE(verify().find("run, running"), std::string::npos);
  }
  EXPECT_NE(verify().find("no process is at work"), std::string::npos);
}

// Of runs that a process of an earlier version was killed in.
TEST_P(CheckpointFiles, ThatAreOneFileBecomeTwo) {
  const TemporaryFolder folder;
  {
    RunFolder run(folder.path(), kSettings, Json::object());
    save(run, 1);
  }
  fs::create_hard_link(folder / kStateFile, folder / kPreviousFile);
  {
    RunFolder run(folder.path(), kSettings, Json::object());
    ASSERT_TRUE(run.load_checkpoint().has_value());
    save(run, 2);
  }
  EXPECT_EQ(whole_ones(folder.path()), (std::set<size_t>{1, 2}));
}

INSTANTIATE_TEST_SUITE_P(OfFileSystems, CheckpointFiles, ::testing::Bool(), [](const auto& info) {
  return info.param ? "ThatExchangeNames" : "ThatRenameOnly";
});

}  // namespace
}  // namespace espalier::experiments
