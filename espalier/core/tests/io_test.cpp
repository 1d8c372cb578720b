// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/io.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <gtest/gtest.h>

#include <espalier/core/detail/descriptor.h>
#include <espalier/core/error.h>

#include "temporary_folder.h"

namespace espalier {
namespace {

using testing::expect_error;
using testing::slurp;
using testing::TemporaryFolder;

// While it lives, files can't grow beyond `bytes`: a full disk without filling one.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(ReadFile, ReturnsTheWholeContentWithZeros) {
  const TemporaryFolder folder;
  const std::string content("a\0b\n\xff", 5);
  const auto bytes = read_file(folder.write("x", content), "test");
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), content);
}

TEST(ReadFile, ReadsAnEmptyFile) {
  const TemporaryFolder folder;
  EXPECT_TRUE(read_file(folder.write("x", ""), "test").empty());
}

TEST(ReadFile, NamesPurposeAndPathOfWhatItCannotRead) {
  const TemporaryFolder folder;
  const auto file = folder.write("file", "content");
  expect_error<IoError>([&] { read_file(folder / "missing", "weights"); }, {"weights", "missing"});
  expect_error<IoError>([&] { read_file(folder.path(), "weights"); }, {"a directory"});
  expect_error<IoError>([&] { read_file(file / "below", "weights"); }, {"weights", "below"});
  expect_error<IoError>([&] { read_file("", "weights"); }, {"weights"});
  expect_error<IoError>([&] { read_file("/dev/zero", "weights"); }, {"a device"});
}

TEST(ReadFile, RefusesANamedPipeInsteadOfWaiting) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error<IoError>([&] { read_file(folder / "pipe", "test"); }, {"a named pipe"});
}

TEST(ReadFile, RefusesWhatIsLargerThanTheLimit) {
  const TemporaryFolder folder;
  const auto file = folder.write("file", "12345");
  EXPECT_EQ(read_file(file, "test", 5).size(), 5u);
  expect_error<IoError>([&] { read_file(file, "test", 4); }, {"5 bytes", "at most 4"});
}

TEST(ReadFile, NamesAFileThatNoPermissionIsGivenFor) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const TemporaryFolder folder;
  const auto file = folder.write("file", "content");
  ::chmod(file.c_str(), 0);
  expect_error<IoError>([&] { read_file(file, "test"); }, {"ermission"});
}

TEST(WriteFile, ReplacesContentAndLeavesNothingElse) {
  const TemporaryFolder folder;
  write_file(folder / "x", "first, longer");
  write_file(folder / "x", "second");
  EXPECT_EQ(slurp(folder / "x"), "second");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"x"});
}

TEST(WriteFile, CreatesMissingFolders) {
  const TemporaryFolder folder;
  write_file(folder / "a/b/x", "content");
  EXPECT_EQ(slurp(folder / "a/b/x"), "content");
}

TEST(WriteFile, KeepsTheOldContentWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  write_file(folder / "x", "old");
  {
    const FileSizeLimit limit(1000);
    expect_error<WriteError>([&] { write_file(folder / "x", std::string(100000, 'n')); },
                             {"untouched", "x"});
    expect_error<WriteError>([&] { write_file(folder / "new/er/y", std::string(100000, 'n')); },
                             {"can't write", "new/er/y"});
  }
  EXPECT_EQ(slurp(folder / "x"), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"x"});
}

TEST(WriteFile, NamesATargetThatCannotBeAFile) {
  const TemporaryFolder folder;
  folder.write("file", "content");
  std::filesystem::create_directories(folder / "sub/inner");
  expect_error<IoError>([&] { write_file(folder / "sub", "x"); }, {"sub"});
  expect_error<IoError>([&] { write_file(folder / "file/below", "x"); }, {"file"});
  expect_error<IoError>([&] { write_file("", "x"); }, {"names no file"});
  EXPECT_EQ(folder.names().size(), 2u);
}

unsigned mode_of(const std::filesystem::path& path) {
  struct stat info {};
  ::stat(path.c_str(), &info);
  return info.st_mode & 0777;
}

TEST(WriteFile, KeepsTheModeOfWhatItReplaces) {
  const TemporaryFolder folder;
  folder.write("private", "old");
  ::chmod((folder / "private").c_str(), 0600);
  write_file(folder / "private", "new");
  EXPECT_EQ(slurp(folder / "private"), "new");
  EXPECT_EQ(mode_of(folder / "private"), 0600u);
}

TEST(WriteFile, FollowsLinksToWhatTheyLeadTo) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "sub");
  folder.write("sub/real", "old");
  std::filesystem::create_symlink("sub/real", folder / "one");
  std::filesystem::create_symlink("one", folder / "two");
  std::filesystem::create_symlink("sub/fresh", folder / "dangling");
  write_file(folder / "two", "new");
  write_file(folder / "dangling", "made");
  EXPECT_EQ(slurp(folder / "sub/real"), "new");
  EXPECT_EQ(slurp(folder / "sub/fresh"), "made");
  for (const char* link : {"one", "two", "dangling"}) {
    EXPECT_TRUE(std::filesystem::is_symlink(folder / link)) << link;
  }
  std::filesystem::create_symlink("round", folder / "round");
  expect_error<IoError>([&] { write_file(folder / "round", "x"); }, {"round"});
}

TEST(WriteFile, WritesThroughAPipeThatIsRead) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const std::string content(1 << 20, 'x');  // more than a pipe holds
  std::string got;
  std::thread reader([&] { got = slurp(folder / "pipe"); });
  for (int tries = 0;; ++tries) {  // until the reader has it open
    try {
      write_file(folder / "pipe", content);
      break;
    } catch (const IoError&) {
      if (tries == 1000) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  reader.join();
  EXPECT_EQ(got, content);
  EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
}

TEST(WriteFile, RefusesAPipeThatNobodyReadsInsteadOfWaiting) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error<IoError>([&] { write_file(folder / "pipe", "x"); }, {"pipe", "nobody reads"});
  EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
}

TEST(WriteFile, SurvivesAReaderThatGoesAway) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const int reader = ::open((folder / "pipe").c_str(), O_RDONLY | O_NONBLOCK);
  std::thread leaving([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ::close(reader);
  });
  expect_error<IoError>([&] { write_file(folder / "pipe", std::string(1 << 20, 'x')); },
                        {"Broken pipe", "of 1048576 bytes"});
  leaving.join();
}

TEST(WriteFile, WritesThroughDevices) {
  write_file("/dev/null", "gone");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  const TemporaryFolder folder;
  std::filesystem::create_symlink("/dev/full", folder / "link");
  expect_error<IoError>([&] { write_file(folder / "link", "x"); }, {"No space left"});
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

TEST(WriteFile, TakesTheLongestName) {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  write_file(folder / name, "x");
  EXPECT_EQ(folder.names(), std::vector<std::string>{name});
  expect_error<IoError>([&] { write_file(folder / (name + "n"), "x"); }, {"too long"});
}

// A number that no process has: that of a child that is gone.
pid_t gone() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  return child;
}

TEST(WriteFile, SweepsWhatAKilledWriterLeft) {
  const TemporaryFolder folder;
  folder.write(".x.tmp-" + std::to_string(gone()) + "-0", "half");
  write_file(folder / "y", "content");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"y"});
}

TEST(WriteFile, NeverTakesANumberOfTheStandardStreams) {
  const TemporaryFolder folder;
  const auto path = folder / "x";
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int stream : {0, 1, 2}) ::close(stream);
    const auto file = detail::open_descriptor(path, O_WRONLY | O_CREAT, 0600);
    ::_exit(file.get() >= 3 && ::fcntl(0, F_GETFD) < 0 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(RemoveTemporaryFiles, TakesOnlyWhatAKilledWriterLeft) {
  const TemporaryFolder folder;
  const std::string dead = std::to_string(gone());
  folder.write(".model.safetensors.tmp-" + dead + "-0", "half");
  // Of a process before this one that had its number, as in a container.
  folder.write(".model.safetensors.tmp-" + std::to_string(::getpid()) + "-999999", "half");
  const std::vector<std::string> kept = {".hidden",
                                         ".x.tmp-" + dead,
                                         ".x.tmp-" + std::to_string(::getppid()) + "-0",
                                         ".x.tmp-one-0",
                                         "notes.tmp-" + dead + "-0"};
  for (const std::string& name : kept) folder.write(name, "another's");
  remove_temporary_files(folder.path());
  auto names = folder.names();
  std::sort(names.begin(), names.end());
  std::vector<std::string> expected = kept;
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names, expected);
  EXPECT_NO_THROW(remove_temporary_files(folder / "missing"));
}

TEST(RemoveTemporaryFiles, LeavesWhatIsLockedByAWriterElsewhere) {
  const TemporaryFolder folder;
  const auto path = folder.write(".x.tmp-" + std::to_string(gone()) + "-0", "half");
  const int writer = ::open(path.c_str(), O_WRONLY);
  ASSERT_EQ(::flock(writer, LOCK_EX), 0);
  remove_temporary_files(folder.path());
  EXPECT_EQ(folder.names().size(), 1u);
  ::close(writer);
  remove_temporary_files(folder.path());
  EXPECT_TRUE(folder.names().empty());
}

TEST(PathKind, TellsWhatIsThere) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(path_kind(folder.write("file", "x")), PathKind::File);
  EXPECT_EQ(path_kind(folder.path()), PathKind::Folder);
  EXPECT_EQ(path_kind(folder / "pipe"), PathKind::Pipe);
  EXPECT_EQ(path_kind("/dev/null"), PathKind::Device);
  EXPECT_EQ(path_kind(folder / "missing"), PathKind::Missing);
  EXPECT_EQ(path_kind(folder / "file/below"), PathKind::Missing);
  expect_error<IoError>([&] { path_kind(folder / std::string(300, 'n')); }, {"can't look at"});
}

TEST(ReadStart, ReadsTheFirstBytesOfAFileOnly) {
  const TemporaryFolder folder;
  const auto file = folder.write("x", "12345");
  EXPECT_EQ(read_start(file, "test", 2), (std::vector<uint8_t>{'1', '2'}));
  EXPECT_EQ(read_start(file, "test", 9).size(), 5u);
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error<IoError>([&] { read_start(folder / "pipe", "test", 1); }, {"a named pipe"});
}

}  // namespace
}  // namespace espalier
