// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/file_set.h>

#include <algorithm>
#include <csignal>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/core/io.h>

#include "temporary_folder.h"

namespace espalier {
namespace {

using testing::expect_error;
using testing::slurp;
using testing::TemporaryFolder;

constexpr const char* kJournal = ".espalier-files.json";

// What a writer leaves that was killed when `moved` of the two new files were in their places.
void leave_interrupted(const TemporaryFolder& folder, int moved) {
  folder.write(moved > 0 ? "a" : ".espalier-files.tmp-1-0", "new a");
  folder.write(moved > 1 ? "b" : ".espalier-files.tmp-1-1", "new b");
  folder.write(kJournal,
               R"({"from":[".espalier-files.tmp-1-0",".espalier-files.tmp-1-1"],)"
               R"("files":["a","b"],"remove":["archive"]})");
}

TEST(FileSet, ReplacesAllFilesAndLeavesNothingElse) {
  const TemporaryFolder folder;
  folder.write("a", "old a");
  folder.write("archive", "packed");
  ::chmod((folder / "a").c_str(), 0600);
  {
    FileSet files(folder.path());
    files.write("a", "new a");
    files.write("sub/b", "new b");
    { std::ofstream(files.stage("c")) << "new c"; }
    files.remove("archive");
    EXPECT_EQ(slurp(folder / "a"), "old a");
    files.commit();
  }
  EXPECT_EQ(slurp(folder / "a"), "new a");
  EXPECT_EQ(slurp(folder / "sub/b"), "new b");
  EXPECT_EQ(slurp(folder / "c"), "new c");
  struct stat info {};
  ASSERT_EQ(::stat((folder / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  auto names = folder.names();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"a", "c", "sub"}));
}

TEST(FileSet, ChangesNothingWithoutCommit) {
  const TemporaryFolder folder;
  folder.write("a", "old a");
  { FileSet(folder.path()).write("a", "new a"); }
  EXPECT_EQ(slurp(folder / "a"), "old a");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
}

TEST(FileSet, ThatCannotBeWrittenNamesTheFileAndLeavesNoNewFolder) {
  const TemporaryFolder folder;
  struct rlimit before {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  struct rlimit limit = before;
  limit.rlim_cur = 1000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  expect_error<WriteError>(
      [&] {
        FileSet files(folder / "new/set");
        files.write("batch", std::string(100000, 'n'));
      },
      {"can't write", "new/set/batch"});
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(folder.names(), std::vector<std::string>{});
}

TEST(FileSet, GoesOnWhereAKilledWriterStopped) {
  for (int moved = 0; moved <= 2; ++moved) {
    const TemporaryFolder folder;
    folder.write("a", "old a");
    folder.write("b", "old b");
    folder.write("archive", "packed");
    leave_interrupted(folder, moved);
    expect_error<IoError>([&] { check_file_set(folder.path()); }, {"old and new files mixed"});
    { const FileSet files(folder.path()); }
    check_file_set(folder.path());
    EXPECT_EQ(slurp(folder / "a"), "new a") << moved;
    EXPECT_EQ(slurp(folder / "b"), "new b") << moved;
    EXPECT_EQ(folder.names().size(), 2u) << moved;
  }
}

TEST(FileSet, IsFinishedForItsReaders) {
  const TemporaryFolder folder;
  leave_interrupted(folder, 1);
  EXPECT_FALSE(holds_nothing(folder.path()));
  finish_file_set(folder.path());
  EXPECT_EQ(slurp(folder / "b"), "new b");
  finish_file_set(folder / "missing");
  EXPECT_FALSE(std::filesystem::exists(folder / "missing"));
}

TEST(FileSet, LeavesAFolderThatCountsAsEmpty) {
  const TemporaryFolder folder;
  EXPECT_TRUE(holds_nothing(folder.path()));
  EXPECT_TRUE(holds_nothing(folder / "missing"));
  folder.write(".espalier-files.tmp-1-0", "half");
  EXPECT_TRUE(holds_nothing(folder.path()));
  folder.write("x", "");
  EXPECT_FALSE(holds_nothing(folder.path()));
}

TEST(FileSet, ForgetsWhatWasNotCommittedByAKilledWriter) {
  const TemporaryFolder folder;
  folder.write("a", "old a");
  folder.write(".espalier-files.tmp-1-0", "half");
  check_file_set(folder.path());
  { const FileSet files(folder.path()); }
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
  EXPECT_EQ(slurp(folder / "a"), "old a");
}

// Whoever writes another file there must not sweep what a journal still needs.
TEST(FileSet, KeepsItsNewFilesWhileOthersWrite) {
  const TemporaryFolder folder;
  leave_interrupted(folder, 1);
  remove_temporary_files(folder.path());
  finish_file_set(folder.path());
  EXPECT_EQ(slurp(folder / "b"), "new b");
}

// Ended by SIGKILL at an unknown instant, again and again: never a mixture that looks whole.
TEST(FileSet, IsNeverReadHalfReplacedWhenItsWriterIsKilled) {
  const TemporaryFolder folder;
  const auto replace = [&](int round) {
    FileSet files(folder.path());
    for (const char* name : {"a", "b", "c", "d"}) files.write(name, std::to_string(round));
    files.commit();
  };
  replace(0);
  int interrupted = 0;
  for (int round = 1; round <= 40; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      replace(round);
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(50 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    try {
      check_file_set(folder.path());
    } catch (const IoError&) {
      ++interrupted;
      const FileSet files(folder.path());
    }
    const std::string content = slurp(folder / "a");
    for (const char* name : {"b", "c", "d"}) EXPECT_EQ(slurp(folder / name), content) << round;
  }
  RecordProperty("interrupted", interrupted);
}

TEST(FileSet, RefusesNamesThatLeaveItsFolder) {
  const TemporaryFolder folder;
  FileSet files(folder.path());
  for (const char* name : {"../x", "/tmp/x", "", ".", "a/../../x", "a/"}) {
    expect_error<IoError>([&] { files.write(name, "x"); }, {"lies in its folder"});
  }
}

TEST(FileSet, RefusesToReplaceWhatIsNoFile) {
  const TemporaryFolder folder;
  folder.write("real", "x");
  std::filesystem::create_directories(folder / "sub");
  std::filesystem::create_symlink("real", folder / "link");
  FileSet files(folder.path());
  expect_error<IoError>([&] { files.stage("sub"); }, {"a directory"});
  expect_error<IoError>([&] { files.stage("link"); }, {"link"});
}

TEST(FileSet, IsForOneProcessAtATime) {
  const TemporaryFolder folder;
  const FileSet files(folder.path());
  expect_error<IoError>([&] { FileSet(folder.path()); }, {"another process"});
}

TEST(FileSet, RefusesAJournalThatIsNotItsOwn) {
  for (const char* text : {"",
                           "[]",
                           "{}",
                           R"({"from":["x"],"files":["a"],"remove":[]})",
                           R"({"from":[".espalier-files.tmp-1-0"],"files":[],"remove":[]})",
                           R"({"from":[".espalier-files.tmp-1-0"],"files":["../x"],"remove":[]})",
                           R"({"from":[".espalier-files.tmp-1-0"],"files":[1],"remove":[]})"}) {
    const TemporaryFolder folder;
    folder.write(kJournal, text);
    expect_error<IoError>([&] { FileSet(folder.path()); }, {});
    EXPECT_EQ(slurp(folder / kJournal), text);
  }
}

}  // namespace
}  // namespace espalier
