// SPDX-License-Identifier: Apache-2.0
// Checksums and downloads: from file:// and a server of the loopback interface only.
#include <espalier/data/fetch.h>

#include <sys/stat.h>

#include <gtest/gtest.h>

#include <espalier/core/error.h>

#include "archives.h"
#include "http_server.h"
#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;

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

TEST_F(Download, AFolderThatMayNotBeMadeIsNamedWithTheReason) {
  const TempFolder root;
  const auto fetch = [&] {
    const AsNobody nobody;
    download("file:///nowhere", root.path() / "set/x", "", Digest::Md5, {});
  };
  fs::permissions(root.path(), fs::perms(0555));
  expect_io_error(fetch, "can't create its folder: Permission denied");
  fs::permissions(root.path(), fs::perms::none);
  expect_io_error(fetch, "set/x can't be looked at: Permission denied");
  fs::permissions(root.path(), fs::perms::owner_all);
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

}  // namespace
}  // namespace espalier::data::testing
