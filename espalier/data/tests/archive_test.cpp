// SPDX-License-Identifier: Apache-2.0
// Archives are unpacked whole, into their folder, or not at all.
#include <espalier/data/fetch.h>

#include <gtest/gtest.h>

#include <espalier/core/error.h>

#include "archives.h"
#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;

TEST(Archive, UnpacksTarAndZipAndStripsFolders) {
  for (const bool zip : {false, true}) {
    const TempFolder folder;
    make_archive(
        folder.path() / "a", {{"top/x.bin", {1, 2, 3}}, {"./top/sub/y.bin", noise(200000)}}, zip);
    extract_archive(folder.path() / "a", folder.path() / "out", 1);
    EXPECT_EQ(files_below(folder.path() / "out"), (std::set<std::string>{"x.bin", "sub/y.bin"}));
    EXPECT_EQ(load(folder.path() / "out/x.bin"), (Bytes{1, 2, 3}));
    EXPECT_EQ(load(folder.path() / "out/sub/y.bin"), noise(200000));
  }
}

TEST(Archive, RefusesWhatLeadsOutOfTheFolder) {
  const std::vector<Entry> bad = {
      {"/tmp/espalier-absolute", {1}},
      {"a/../../escaped", {1}},
      {"..", {1}},
      {"a\\..\\escaped", {1}},
      {"link", {}, AE_IFLNK, "/etc/passwd"},
      {"hard", {}, AE_IFREG, "fine"},
      {"pipe", {}, AE_IFIFO},
  };
  for (const Entry& entry : bad) {
    SCOPED_TRACE(entry.name);
    const TempFolder folder;
    make_archive(folder.path() / "in/a.tgz", {{"fine", {7}}, entry});
    EXPECT_THROW(extract_archive(folder.path() / "in/a.tgz", folder.path() / "in/out"), IoError);
    EXPECT_EQ(files_below(folder.path()), (std::set<std::string>{"in/a.tgz"}));  // all or none
  }
}

TEST(Archive, BrokenOnesAreErrorsAndLeaveNoHalfFile) {
  const TempFolder folder;
  const fs::path path = folder.path() / "a.tgz";
  make_archive(path, {{"x.bin", noise(100000)}});
  const Bytes whole = load(path);
  const auto unpack = [&] { extract_archive(path, folder.path() / "out"); };
  for (const size_t size : {size_t{1}, size_t{100}, whole.size() / 2, whole.size() - 5000}) {
    store(path, Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)));
    expect_io_error(unpack, "a.tgz");
  }
  store(path, {});
  expect_io_error(unpack, "is empty");
  store(path, Bytes(5000, 0xAB));
  expect_io_error(unpack, "a.tgz");
  fs::remove(path);
  expect_io_error(unpack, "does not exist");
  fs::create_directory(path);
  expect_io_error(unpack, "is a directory");
  EXPECT_FALSE(fs::exists(folder.path() / "out/x.bin"));
  EXPECT_FALSE(fs::exists(folder.path() / "out/x.bin.part"));
}

TEST(Archive, StopsAtItsLimit) {
  const TempFolder folder;
  make_archive(folder.path() / "a.tgz", {{"bomb", Bytes(5000000, 0)}});
  expect_io_error(
      [&] { extract_archive(folder.path() / "a.tgz", folder.path() / "out", 0, 1000000); },
      "more than is allowed");
  EXPECT_FALSE(fs::exists(folder.path() / "out"));
}

TEST(Archive, KeepsAFolderThatIsInTheWay) {
  const TempFolder folder;
  store(folder.path() / "out/x/kept", {1});
  make_archive(folder.path() / "a.tgz", {{"x", {2}}});
  EXPECT_THROW(extract_archive(folder.path() / "a.tgz", folder.path() / "out"), IoError);
  EXPECT_EQ(files_below(folder.path() / "out"), (std::set<std::string>{"x/kept"}));
}

TEST(Archive, WhatIsThereIsReplacedByAllOrByNone) {
  const TempFolder folder;
  const fs::path out = folder.path() / "out", path = folder.path() / "a.tgz";
  for (const char* name : {"x", "y", "mine"}) store(out / name, {'o'});
  make_archive(path, {{"x", noise(100000)}, {"y", {2}}});
  const Bytes whole = load(path);
  store(path, Bytes(whole.begin(), whole.end() - 60));  // its beginning can be unpacked
  expect_io_error([&] { extract_archive(path, out); }, "a.tgz");
  for (const char* name : {"x", "y", "mine"}) EXPECT_EQ(load(out / name), (Bytes{'o'})) << name;
  store(path, whole);
  extract_archive(path, out);
  EXPECT_EQ(load(out / "x"), noise(100000));
  EXPECT_EQ(load(out / "y"), (Bytes{2}));
  EXPECT_EQ(load(out / "mine"), (Bytes{'o'}));
  EXPECT_EQ(files_below(out).size(), 3u);
}

}  // namespace
}  // namespace espalier::data::testing
