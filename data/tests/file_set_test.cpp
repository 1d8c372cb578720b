// SPDX-License-Identifier: Apache-2.0
// A writer is killed at each of its renames: a child process that a filter of system calls ends
// would need privileges, so the state that each leaves is made by hand from its description.
#include <espalier/data/detail/file_set.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;
using detail::FileSet;

std::string text(const fs::path& path) {
  const Bytes bytes = load(path);
  return {bytes.begin(), bytes.end()};
}

TEST(FileSet, ReplacesItsFilesAndNoOthers) {
  const TempFolder folder;
  store(folder.path() / "a", {'o'});
  store(folder.path() / "mine", {'m'});
  store(folder.path() / "archive", {'z'});
  FileSet files(folder.path());
  files.write("a", "new a");
  files.write("sub/b", "new b");
  files.remove("archive");
  EXPECT_EQ(text(folder.path() / "a"), "o");
  files.commit();
  EXPECT_EQ(text(folder.path() / "a"), "new a");
  EXPECT_EQ(text(folder.path() / "sub/b"), "new b");
  EXPECT_EQ(text(folder.path() / "mine"), "m");
  EXPECT_FALSE(fs::exists(folder.path() / "archive"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 3);  // nothing hidden is left
}

TEST(FileSet, WithoutCommitNothingHasChanged) {
  const TempFolder folder;
  store(folder.path() / "a", {'o'});
  { FileSet(folder.path()).write("a", "new a"); }
  EXPECT_EQ(text(folder.path() / "a"), "o");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
}

TEST(FileSet, KilledBeforeItIsFinalTheOldFilesStandAndTheRestIsSwept) {
  const TempFolder folder;
  store(folder.path() / "a", {'o'});
  store(folder.path() / ".espalier-set-new/a", {'h'});
  EXPECT_NO_THROW(detail::check_file_set(folder.path()));
  EXPECT_FALSE(detail::holds_nothing(folder.path()));
  detail::finish_file_set(folder.path());
  { FileSet next(folder.path()); }
  EXPECT_EQ(text(folder.path() / "a"), "o");
  EXPECT_FALSE(fs::exists(folder.path() / ".espalier-set-new"));
}

TEST(FileSet, KilledWhileItMovesItIsRefusedAndThenFinished) {
  for (int moved = 0; moved <= 3; ++moved) {
    const TempFolder folder;
    for (int i = 0; i < 3; ++i) {
      const std::string name = i == 2 ? "sub/c" : i == 1 ? "b" : "a";
      store(folder.path() / name, {'o'});
      store(folder.path() / (i < moved ? name : ".espalier-set-ready/" + name), {'n'});
    }
    fs::create_directories(folder.path() / ".espalier-set-ready");
    expect_io_error([&] { detail::check_file_set(folder.path()); }, "The same command again");
    detail::finish_file_set(folder.path());
    EXPECT_NO_THROW(detail::check_file_set(folder.path()));
    for (const char* name : {"a", "b", "sub/c"}) EXPECT_EQ(text(folder.path() / name), "n") << name;
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 3);
  }
}

TEST(FileSet, HoldsNothingTellsWhatAKilledWriterLeft) {
  const TempFolder folder;
  EXPECT_TRUE(detail::holds_nothing(folder.path()));
  EXPECT_TRUE(detail::holds_nothing(folder.path() / "missing"));
  store(folder.path() / ".espalier-set-new/a", {'h'});
  EXPECT_TRUE(detail::holds_nothing(folder.path()));
  store(folder.path() / "mine", {'m'});
  EXPECT_FALSE(detail::holds_nothing(folder.path()));
}

TEST(FileSet, WhatIsNoPlainFileIsNotReplaced) {
  const TempFolder folder;
  fs::create_directories(folder.path() / "a/b");
  store(folder.path() / "c", {'o'});
  fs::create_symlink("c", folder.path() / "link");
  FileSet files(folder.path());
  expect_io_error([&] { files.stage("a"); }, "/a: it is no plain file");
  expect_io_error([&] { files.stage("link"); }, "link: it is no plain file");
  expect_io_error([&] { files.stage("c/d"); }, "c: it is no folder");
}

TEST(FileSet, TwoWritersAreAnError) {
  const TempFolder folder;
  FileSet first(folder.path());
  expect_io_error([&] { FileSet second(folder.path()); }, "another process");
}

}  // namespace
}  // namespace espalier::data::testing
