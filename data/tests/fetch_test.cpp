// SPDX-License-Identifier: Apache-2.0
// Downloads come from file:// and a server of the loopback interface only.
#include <espalier/data/fetch.h>

#include <sys/stat.h>

#include <cstdlib>
#include <set>

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/core/random.h>
#include <espalier/data/dataset.h>

#include "http_server.h"
#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;

Bytes noise(size_t size) {
  Bytes out(size);
  Rng rng(1, "noise");
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(rng.next_u32());
  return out;
}

std::string sha256(const Bytes& bytes) {
  Checksum sum(Digest::Sha256);
  sum.update(bytes);
  return sum.hex();
}

std::string hex_of(Digest digest, const std::string& text, size_t piece) {
  Checksum sum(digest);
  for (size_t i = 0; i < text.size(); i += piece) {
    const std::string part = text.substr(i, piece);
    sum.update({reinterpret_cast<const uint8_t*>(part.data()), part.size()});
  }
  return sum.hex();
}

// Test vectors of RFC 1321 (A.5) and FIPS 180-2 (B.1 to B.3).
TEST(Checksum, EqualsThePublishedVectors) {
  const std::string digits =
      "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{64}, size_t{1000}}) {
    EXPECT_EQ(hex_of(Digest::Md5, "", piece), "d41d8cd98f00b204e9800998ecf8427e");
    EXPECT_EQ(hex_of(Digest::Md5, "message digest", piece), "f96b697d7cb7938d525a2f31aaf161d0");
    EXPECT_EQ(hex_of(Digest::Md5, digits, piece), "57edf4a22be3c955ac49da2e2107b67a");
    EXPECT_EQ(hex_of(Digest::Sha256, "abc", piece),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(
        hex_of(Digest::Sha256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", piece),
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(hex_of(Digest::Sha256, std::string(1000000, 'a'), piece * 97),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }
}

class Download : public ::testing::Test {
 protected:
  fs::path target() const { return folder_.path() / "got/file.bin"; }
  fs::path part() const { return folder_.path() / "got/file.bin.part"; }
  void expect_got() const {
    ASSERT_TRUE(fs::exists(target()));
    EXPECT_EQ(load(target()), content_);
    EXPECT_FALSE(fs::exists(part()));
  }
  void leave_part(size_t size) const {
    store(part(), Bytes(content_.begin(), content_.begin() + static_cast<ptrdiff_t>(size)));
  }

  const TempFolder folder_;
  const Bytes content_ = noise(300000);
  const std::string checksum_ = sha256(content_);
};

TEST_F(Download, FromAFileUrl) {
  store(folder_.path() / "source.bin", content_);
  download(
      "file://" + (folder_.path() / "source.bin").string(), target(), checksum_, Digest::Sha256);
  expect_got();
}

TEST_F(Download, ReportsProgressUpToTheEnd) {
  const HttpServer server(content_, {});
  int64_t last = 0, total = 0;
  FetchOptions options;
  options.progress = [&](const std::string& name, int64_t received, int64_t of) {
    EXPECT_EQ(name, "file.bin");
    EXPECT_GE(received, last);
    last = received;
    total = of;
    return true;
  };
  download(server.url(), target(), checksum_, Digest::Sha256, options);
  expect_got();
  EXPECT_EQ(last, 300000);
  EXPECT_EQ(total, 300000);
}

TEST_F(Download, ContinuesWhatAnEarlierRunLeft) {
  leave_part(100000);
  HttpServer server(content_, {});
  download(server.url(), target(), checksum_, Digest::Sha256);
  expect_got();
  EXPECT_EQ(server.starts(), (std::vector<int64_t>{100000}));
}

TEST_F(Download, ContinuesAfterABrokenConnection) {
  HttpServer server(content_, {.break_after = 70000, .breaks = 2});
  download(server.url(), target(), checksum_, Digest::Sha256);
  expect_got();
  EXPECT_EQ(server.starts(), (std::vector<int64_t>{0, 70000, 140000}));
}

TEST_F(Download, GivesUpWhenEveryConnectionBreaksAndKeepsThePart) {
  FetchOptions options;
  options.retries = 1;
  {
    HttpServer server(content_, {.break_after = 1000, .breaks = 99});
    expect_io_error([&] { download(server.url(), target(), checksum_, Digest::Sha256, options); },
                    server.url());
  }
  EXPECT_FALSE(fs::exists(target()));
  EXPECT_EQ(fs::file_size(part()), 2000u);
}

TEST_F(Download, BeginsAnewWhereRangesAreNotSupported) {
  leave_part(100000);
  const HttpServer server(content_, {.ranges = false});
  download(server.url(), target(), checksum_, Digest::Sha256);
  expect_got();
}

TEST_F(Download, BeginsAnewWhenThePartIsOfAnotherFile) {
  store(part(), noise(100) /* a prefix of content_ */);
  Bytes wrong = load(part());
  wrong[50] ^= 1;
  store(part(), wrong);
  const HttpServer server(content_, {});
  download(server.url(), target(), checksum_, Digest::Sha256);
  expect_got();
}

TEST_F(Download, BeginsAnewWhenThePartIsLongerThanTheFile) {
  store(part(), noise(300001));
  const HttpServer server(content_, {});
  download(server.url(), target(), checksum_, Digest::Sha256);
  expect_got();
}

TEST_F(Download, AWholePartNeedsNoConnection) {
  leave_part(content_.size());
  download("http://127.0.0.1:1/nobody", target(), checksum_, Digest::Sha256);
  expect_got();
}

TEST_F(Download, AWrongChecksumLeavesNothing) {
  const HttpServer server(content_, {});
  expect_io_error([&] { download(server.url(), target(), std::string(64, '0'), Digest::Sha256); },
                  "wrong checksum");
  EXPECT_FALSE(fs::exists(target()));
  EXPECT_FALSE(fs::exists(part()));
}

TEST_F(Download, ErrorsAreNamedAndLeaveNothing) {
  FetchOptions options;
  options.retries = 0;
  const HttpServer server(content_, {.status = 404});
  expect_io_error([&] { download(server.url(), target(), "", Digest::Md5, options); }, "404");
  expect_io_error(
      [&] { download("http://127.0.0.1:1/nobody", target(), "", Digest::Md5, options); },
      "http://127.0.0.1:1/nobody");
  expect_io_error([&] { download("file:///does/not/exist", target(), "", Digest::Md5, options); },
                  "file:///does/not/exist");
  expect_io_error([&] { download("gopher://x/", target(), "", Digest::Md5, options); }, "gopher");
  EXPECT_TRUE(fs::is_empty(target().parent_path()));
}

TEST_F(Download, StopsWhenTheCallerSaysSoOrThrows) {
  const HttpServer server(content_, {});
  FetchOptions options;
  options.progress = [](const std::string&, int64_t received, int64_t) { return received == 0; };
  expect_io_error([&] { download(server.url(), target(), "", Digest::Md5, options); }, "stopped");
  options.progress = [](const std::string&, int64_t, int64_t) -> bool { throw ValueError("mine"); };
  EXPECT_THROW(download(server.url(), target(), "", Digest::Md5, options), ValueError);
  EXPECT_FALSE(fs::exists(target()));
}

TEST_F(Download, ALinkStaysALinkAndWhatIsNoFileIsNotReplaced) {
  const HttpServer server(content_, {});
  fs::create_directories(target().parent_path());
  store(folder_.path() / "store/blob", {1});
  fs::create_symlink("../store/blob", target());
  download(server.url(), target(), checksum_, Digest::Sha256);
  EXPECT_TRUE(fs::is_symlink(target()));
  EXPECT_EQ(load(folder_.path() / "store/blob"), content_);
  fs::remove(target());
  ASSERT_EQ(mkfifo(target().c_str(), 0600), 0);
  expect_io_error([&] { download(server.url(), target(), checksum_, Digest::Sha256); },
                  "is no file; it is not replaced");
  EXPECT_TRUE(fs::is_fifo(target()));
}

TEST_F(Download, GivesUpOnADrip) {
  const HttpServer server(content_, {.drip = 3});  // 300 bytes a second
  FetchOptions options;
  options.stall_seconds = 1;
  options.retries = 0;
  expect_io_error([&] { download(server.url(), target(), checksum_, Digest::Sha256, options); },
                  server.url());
  EXPECT_FALSE(fs::exists(target()));
}

TEST_F(Download, GivesUpWhenItTakesTooLongInAll) {
  const HttpServer server(content_, {.drip = 100});  // 10,000 bytes a second, which is no drip
  FetchOptions options;
  options.max_seconds = 1;
  expect_io_error([&] { download(server.url(), target(), checksum_, Digest::Sha256, options); },
                  "takes longer than 1 seconds");
  EXPECT_FALSE(fs::exists(target()));
}

TEST_F(Download, GivesUpOnAnAnswerThatDoesNotEnd) {
  const HttpServer server(content_, {.is_endless = true});
  FetchOptions options;
  options.max_bytes = 1000000;
  expect_io_error([&] { download(server.url(), target(), checksum_, Digest::Sha256, options); },
                  "longer than 1000000 bytes");
  EXPECT_FALSE(fs::exists(target()));
  EXPECT_FALSE(fs::exists(part()));
}

TEST_F(Download, ALongAnswerIsRefusedWhenItBegins) {
  HttpServer server(content_, {});
  FetchOptions options;
  options.max_bytes = 299999;
  expect_io_error([&] { download(server.url(), target(), checksum_, Digest::Sha256, options); },
                  "longer than 299999 bytes");
  options.max_bytes = 300000;
  download(server.url(), target(), checksum_, Digest::Sha256, options);
  expect_got();
}

// An archive of regular files, or of one entry of another type.
struct Entry {
  std::string name;
  Bytes content = {};
  unsigned type = AE_IFREG;
  std::string link = {};
};

void make_archive(const fs::path& path, const std::vector<Entry>& entries, bool zip = false) {
  fs::create_directories(path.parent_path());
  struct archive* out = archive_write_new();
  zip ? archive_write_set_format_zip(out) : archive_write_set_format_pax_restricted(out);
  if (!zip) archive_write_add_filter_gzip(out);
  ASSERT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
  for (const Entry& e : entries) {
    struct archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, e.name.c_str());
    archive_entry_set_filetype(entry, e.type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<int64_t>(e.content.size()));
    if (e.type == AE_IFLNK) archive_entry_set_symlink(entry, e.link.c_str());
    if (e.type == AE_IFREG && !e.link.empty()) archive_entry_set_hardlink(entry, e.link.c_str());
    ASSERT_EQ(archive_write_header(out, entry), ARCHIVE_OK);
    archive_write_data(out, e.content.data(), e.content.size());
    archive_entry_free(entry);
  }
  ASSERT_EQ(archive_write_close(out), ARCHIVE_OK);
  archive_write_free(out);
}

std::set<std::string> files_below(const fs::path& folder) {
  std::set<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) out.insert(fs::relative(entry.path(), folder).string());
  }
  return out;
}

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
  EXPECT_TRUE(files_below(folder.path() / "out").empty());
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

TEST(Fetch, DownloadsUnpacksAndOpensADataSet) {
  const TempFolder folder;
  const fs::path source = folder.path() / "source";
  make_cifar(source / "train.bin", {1}, {2, 3});
  make_cifar(source / "test.bin", {1}, {4});
  make_archive(source / "c.tgz",
               {{"cifar/train.bin", load(source / "train.bin")},
                {"cifar/test.bin", load(source / "test.bin")}});
  const RemoteDataset remote{"cifar100",
                             "cifar100",
                             "",
                             {{.url = "file://" + (source / "c.tgz").string(),
                               .file_name = "c.tgz",
                               .checksum = file_checksum(source / "c.tgz", Digest::Md5),
                               .is_archive = true,
                               .unpacked = {{"train.bin"}, {"test.bin"}}}}};
  const fs::path root = folder.path() / "root";
  fetch_dataset(remote, root);
  EXPECT_EQ(
      files_below(root),
      (std::set<std::string>{"cifar100/train.bin", "cifar100/test.bin", "cifar100/SHA256SUMS"}));
  EXPECT_EQ(open_dataset("cifar100", Split::Train, root.string())->label(1), 3);

  fs::remove_all(source);  // what is there is not fetched again
  EXPECT_NO_THROW(fetch_dataset(remote, root));
  fs::remove(root / "cifar100/test.bin");
  EXPECT_THROW(fetch_dataset(remote, root), IoError);
}

TEST(Fetch, MissingFilesOfAnArchiveAreNamed) {
  const TempFolder folder;
  make_archive(folder.path() / "c.tgz", {{"cifar/train.bin", {1}}});
  const RemoteDataset remote{"x",
                             "x",
                             "",
                             {{.url = "file://" + (folder.path() / "c.tgz").string(),
                               .file_name = "c.tgz",
                               .checksum = "",
                               .is_archive = true,
                               .unpacked = {{"train.bin"}, {"test.bin"}}}}};
  expect_io_error([&] { fetch_dataset(remote, folder.path() / "root"); }, "test.bin");
}

// Two files and an archive, published in a folder; what a fetch finds there is right.
class Published : public ::testing::Test {
 protected:
  Published() {
    store(source_ / "a.bin", noise(1000));
    store(source_ / "b.bin", noise(2000));
    make_archive(source_ / "c.tgz", {{"top/c1.bin", noise(3000)}, {"top/c2.bin", {1, 2}}});
    const auto of = [&](const std::string& name) {
      return RemoteFile{.url = "file://" + (source_ / name).string(),
                        .file_name = name,
                        .checksum = file_checksum(source_ / name, Digest::Sha256),
                        .digest = Digest::Sha256};
    };
    remote_ = {"mine", "mine", "", {of("a.bin"), of("b.bin"), of("c.tgz")}};
    remote_.files[2].is_archive = true;
    remote_.files[2].unpacked = {{"c1.bin"}, {"c2.bin", "", 2}};
  }
  std::string states() const {
    std::string out;
    for (const FileCheck& check : verify_dataset(remote_, root_)) {
      out += check.path.filename().string() + " " + std::string(name(check.state)) + ", ";
    }
    return out;
  }

  const TempFolder folder_;
  const fs::path source_ = folder_.path() / "source", root_ = folder_.path() / "root";
  const fs::path mine_ = root_ / "mine";
  RemoteDataset remote_;
};

constexpr const char* kAllRight = "a.bin right, b.bin right, c1.bin right, c2.bin right, ";

TEST_F(Published, WhatIsDamagedIsToldAndFetchedAgain) {
  EXPECT_EQ(states(), "a.bin missing, b.bin missing, c1.bin missing, c2.bin missing, ");
  fetch_dataset(remote_, root_);
  EXPECT_EQ(states(), kAllRight);
  for (const char* name : {"b.bin", "c1.bin", "c2.bin"}) {
    Bytes bytes = load(mine_ / name);
    bytes[1] ^= 4;
    store(mine_ / name, bytes);
    EXPECT_NE(states().find(std::string(name) + " damaged"), std::string::npos) << states();
    std::vector<fs::path> told;
    FetchOptions options;
    options.on_damaged = [&](const fs::path& path) { told.push_back(path); };
    fetch_dataset(remote_, root_, options);
    EXPECT_EQ(told, (std::vector<fs::path>{mine_ / name}));
    EXPECT_EQ(states(), kAllRight);
  }
}

TEST_F(Published, JunkUnderItsNamesIsNotTheDataSet) {
  for (const char* name : {"a.bin", "b.bin", "c1.bin", "c2.bin"}) store(mine_ / name, {'j'});
  EXPECT_EQ(states(), "a.bin damaged, b.bin damaged, c1.bin unknown, c2.bin damaged, ");
  fetch_dataset(remote_, root_);
  EXPECT_EQ(states(), kAllRight);
}

TEST_F(Published, WhatCanNotBeFetchedStaysAsItWas) {
  store(mine_ / "a.bin", {'j'});
  fs::remove_all(source_);
  EXPECT_THROW(fetch_dataset(remote_, root_), IoError);
  EXPECT_EQ(load(mine_ / "a.bin"), (Bytes{'j'}));
}

TEST_F(Published, AnArchiveIsCheckedBeforeItIsUnpacked) {
  // One that unpacks without an error, but to something else.
  make_archive(mine_ / "c.tgz", {{"top/c1.bin", {9}}, {"top/c2.bin", {9, 9}}});
  fetch_dataset(remote_, root_);
  EXPECT_EQ(load(mine_ / "c1.bin"), noise(3000));
  EXPECT_FALSE(fs::exists(mine_ / "c.tgz"));
  EXPECT_EQ(states(), kAllRight);
}

TEST_F(Published, ARightArchiveThatIsThereIsNotFetchedAgain) {
  fs::create_directories(mine_);
  for (const char* name : {"a.bin", "b.bin", "c.tgz"}) fs::copy(source_ / name, mine_ / name);
  fs::remove_all(source_);
  fetch_dataset(remote_, root_);
  EXPECT_EQ(states(), kAllRight);
}

TEST_F(Published, ASetOfSomebodysMakingIsNotReplaced) {
  store(mine_ / "c1.bin", {'m'});
  store(mine_ / "records.txt", {'c'});
  try {
    fetch_dataset(remote_, root_);
    ADD_FAILURE() << "no error";
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("records.txt"), std::string::npos) << error.what();
  }
  EXPECT_EQ(load(mine_ / "c1.bin"), (Bytes{'m'}));
}

TEST_F(Published, HalfReplacedIsRefusedAndFinishedByFetch) {
  fetch_dataset(remote_, root_);
  const std::string journal =
      R"({"from":[".espalier-files.tmp-1-0"],"files":["c2.bin"],"remove":[]})";
  fs::rename(mine_ / "c2.bin", mine_ / ".espalier-files.tmp-1-0");
  store(mine_ / ".espalier-files.json", {journal.begin(), journal.end()});
  store(mine_ / "c2.bin", {7, 7});
  expect_io_error([&] { verify_dataset(remote_, root_); }, "old and new files mixed");
  fs::remove_all(source_);
  fetch_dataset(remote_, root_);
  EXPECT_EQ(states(), kAllRight);
}

TEST(Verify, LooksAtTheFilesThatAreRead) {
  const char* real = std::getenv("ESPALIER_DATA");
  if (real == nullptr) GTEST_SKIP() << "needs MNIST and CIFAR-10 below ESPALIER_DATA";
  for (const char* set : {"mnist", "cifar10"}) {
    const std::vector<FileCheck> checks = verify_dataset(set, real);
    EXPECT_EQ(checks.size(), set == std::string("mnist") ? 4u : 6u);
    for (const FileCheck& check : checks) {
      EXPECT_EQ(name(check.state), "right") << check.path << check.detail;
    }
  }
  // Unpacked and spelt as Kaggle does: the official bytes, then one of them flipped.
  const TempFolder folder;
  const fs::path labels = folder.path() / "mnist/t10k-labels.idx1-ubyte";
  const auto open = open_dataset("mnist", Split::Test, real);
  Bytes numbers;
  for (int64_t i = 0; i < open->size(); ++i)
    numbers.push_back(static_cast<uint8_t>(open->label(i)));
  store(labels, idx_labels(numbers));
  EXPECT_EQ(name(verify_dataset("mnist", folder.path()).back().state), "right");
  numbers[77] ^= 1;
  store(labels, idx_labels(numbers));
  const FileCheck damaged = verify_dataset("mnist", folder.path()).back();
  EXPECT_EQ(name(damaged.state), "damaged");
  EXPECT_EQ(damaged.path, labels);
  // It would be read in the place of what can be fetched.
  expect_io_error(
      [&] {
        fetch_dataset(RemoteDataset{"mnist", "mnist", "", {remote_datasets()[4].files[3]}},
                      folder.path());
      },
      "remove it first");
}

TEST(Fetch, CatalogueIsWellFormed) {
  std::set<std::string> names;
  for (const RemoteDataset& dataset : remote_datasets()) {
    names.insert(dataset.name);
    EXPECT_FALSE(dataset.licence.empty());
    for (const RemoteFile& file : dataset.files) {
      EXPECT_TRUE(file.url.ends_with("/" + file.file_name)) << file.url;
      EXPECT_EQ(file.checksum.size(), file.digest == Digest::Md5 ? 32u : 64u);
      EXPECT_EQ(file.checksum.find_first_not_of("0123456789abcdef"), std::string::npos);
      EXPECT_TRUE(!file.is_archive || !file.unpacked.empty());
      EXPECT_GT(file.bytes, 0);
      for (const UnpackedFile& unpacked : file.unpacked) {
        EXPECT_GT(unpacked.bytes, 0) << unpacked.name;
        EXPECT_TRUE(unpacked.checksum.empty() || unpacked.checksum.size() == 32u);
      }
    }
  }
  for (const DatasetInfo& info : known_datasets()) {
    EXPECT_EQ(names.contains(info.name), info.name != "synth") << info.name;
  }
  EXPECT_THROW(fetch_dataset("synth", "."), ValueError);
}

}  // namespace
}  // namespace espalier::data::testing
