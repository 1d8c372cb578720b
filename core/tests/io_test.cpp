// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/io.h>

#include <csignal>

#include <sys/resource.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

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
  expect_error<IoError>([&] { read_file(folder.path(), "weights"); }, {"directory"});
  expect_error<IoError>([&] { read_file(file / "below", "weights"); }, {"weights", "below"});
  expect_error<IoError>([&] { read_file("", "weights"); }, {"weights"});
  expect_error<IoError>([&] { read_file("/dev/zero", "weights"); }, {"not a regular file"});
}

TEST(ReadFile, RefusesANamedPipeInsteadOfWaiting) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error<IoError>([&] { read_file(folder / "pipe", "test"); }, {"not a regular file"});
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
    expect_error<IoError>([&] { write_file(folder / "x", std::string(100000, 'n')); },
                          {"untouched", "x"});
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

TEST(RemoveTemporaryFiles, TakesOnlyWhatAKilledWriterLeft) {
  const TemporaryFolder folder;
  folder.write(".model.safetensors.tmp-123-0", "half");
  folder.write(".hidden", "user's");
  folder.write("notes.tmp-1", "user's");
  remove_temporary_files(folder.path());
  auto names = folder.names();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{".hidden", "notes.tmp-1"}));
  EXPECT_NO_THROW(remove_temporary_files(folder / "missing"));
}

}  // namespace
}  // namespace espalier
