// SPDX-License-Identifier: Apache-2.0
// The live server of a report: what it answers, and whom it closes.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include <httplib.h>

#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/experiments/report/limited_server.h>
#include <espalier/experiments/report/server.h>

#include "command_line.h"
#include "made_up_runs.h"

using espalier::testing::TemporaryFolder;
using espalier::testing::write_run;

namespace espalier::experiments::report {
namespace {

namespace fs = std::filesystem;

// A server in a thread of its own.
class Served {
 public:
  explicit Served(const fs::path& folder, const ServerLimits& limits = {})
      : server_(folder, 0, limits),
        thread_([this] { server_.run(); }),
        client_("127.0.0.1", port()) {
    client_.set_connection_timeout(5);
    // It listens already; what is asked before `run` waits.
  }
  ~Served() {
    while (!client_.Get("/state")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    server_.stop();
    thread_.join();
  }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  int port() const { return server_.port(); }
  httplib::Client& client() { return client_; }

 private:
  ReportServer server_;
  std::thread thread_;
  httplib::Client client_;
};

TEST(ReportServer, FollowsTheRunsOfAFolder) {
  const TemporaryFolder folder;
  Served served(folder.path());
  const auto empty = served.client().Get("/");
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->status, 200);
  EXPECT_NE(empty->body.find("no runs yet"), std::string::npos);
  const std::string before = served.client().Get("/state")->body;
  EXPECT_NE(empty->body.find("data-live=\"" + before + "\""), std::string::npos);

  write_run(folder / "one", {{"seed", 1}}, 0.5);
  EXPECT_NE(served.client().Get("/state")->body, before);
  EXPECT_NE(served.client().Get("/")->body.find("one"), std::string::npos);
  EXPECT_EQ(served.client().Get("/elsewhere")->status, 404);
  EXPECT_EQ(served.client().Post("/", "x", "text/plain")->status, 404);

  // One that is broken is named, and hides nothing.
  write_run(folder / "two", {{"seed", 2}}, 0.25);
  write_file(folder / "one/run.json", "{");
  const auto bad = served.client().Get("/");
  EXPECT_EQ(bad->status, 200);
  EXPECT_NE(bad->body.find("run.json is not valid JSON"), std::string::npos);
  EXPECT_NE(bad->body.find("25.00 %"), std::string::npos);
}

TEST(ReportServer, AnswersOnLoopbackToItsOwnNamesOnly) {
  const TemporaryFolder folder;
  Served served(folder.path());
  ASSERT_EQ(served.client().Get("/state")->status, 200);
  EXPECT_EQ(served.client().Get("/", {{"Host", "evil.example"}})->status, 403);
  // The kernel's list of listening sockets: the port is bound to 127.0.0.1 and nothing else.
  char port[8];
  std::snprintf(port, sizeof(port), ":%04X", static_cast<unsigned>(served.port()));
  for (const char* table : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
    std::ifstream file(table);
    for (std::string line; std::getline(file, line);) {
      std::istringstream fields(line);
      std::string number;
      std::string local;
      std::string remote;
      std::string state;
      fields >> number >> local >> remote >> state;
      const bool listens = state == "0A" && local.ends_with(port);
      if (listens) {
        EXPECT_EQ(local.substr(0, 8), "0100007F") << line;
      }
    }
  }
}

// A plain connection to the server, which has been sent `text`.
class RawClient {
 public:
  RawClient(int port, const std::string& text) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    send(text);
  }
  ~RawClient() { ::close(socket_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool send(const std::string& text) {
    return ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }
  /// Waits until the server closed it, at most so long.
  bool is_closed_within(int milliseconds) {
    pollfd one{.fd = socket_, .events = POLLIN, .revents = 0};
    char byte = 0;
    while (::poll(&one, 1, milliseconds) > 0) {
      if (::recv(socket_, &byte, 1, 0) <= 0) return true;
    }
    return false;
  }

 private:
  int socket_;
};

TEST(ReportServer, ClosesClientsThatAreSlowToAskAndAnswersTheOthers) {
  const TemporaryFolder folder;
  Served served(folder.path(), {.read = std::chrono::milliseconds(700), .threads = 2});
  ASSERT_EQ(served.client().Get("/state")->status, 200);
  // As many as there are threads, each with another byte again and again.
  std::vector<std::unique_ptr<RawClient>> slow;
  for (int i = 0; i < 2; ++i) {
    slow.push_back(std::make_unique<RawClient>(served.port(), "GET /state HT"));
  }
  std::thread drip([&] {
    for (int i = 0; i < 40; ++i) {
      for (const auto& one : slow) one->send("x");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
  served.client().set_read_timeout(10);
  const auto answer = served.client().Get("/state");
  ASSERT_TRUE(answer) << "slow clients keep others out";
  EXPECT_EQ(answer->status, 200);
  drip.join();
  for (const auto& one : slow) EXPECT_TRUE(one->is_closed_within(5000));
}

// All of them wait at once, not one after the other.
TEST(ReportServer, ManyHalfRequestsTakeNoLongerThanOne) {
  const TemporaryFolder folder;
  Served served(folder.path(), {.read = std::chrono::milliseconds(1500), .threads = 1});
  ASSERT_EQ(served.client().Get("/state")->status, 200);
  std::vector<std::unique_ptr<RawClient>> half;
  for (int i = 0; i < 20; ++i) half.push_back(std::make_unique<RawClient>(served.port(), "G"));
  served.client().set_read_timeout(15);  // one after the other: 30 s
  const auto answer = served.client().Get("/state");
  ASSERT_TRUE(answer) << "half requests keep others out";
  EXPECT_EQ(answer->status, 200);
}

TEST(ReportServer, ClosesRequestsWithoutEndAndConnectionsBeyondItsLimit) {
  const TemporaryFolder folder;
  Served served(
      folder.path(),
      {.read = std::chrono::seconds(20), .request_bytes = 4096, .threads = 1, .waiting = 2});
  ASSERT_EQ(served.client().Get("/state")->status, 200);
  {
    RawClient endless(served.port(), "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 1000 && endless.send("A: " + std::string(1000, 'a') + "\r\n"); ++i) {
    }
    EXPECT_TRUE(endless.is_closed_within(5000));
  }
  std::vector<std::unique_ptr<RawClient>> open;
  for (int i = 0; i < 3; ++i) open.push_back(std::make_unique<RawClient>(served.port(), "G"));
  RawClient beyond(served.port(), "G");
  EXPECT_TRUE(beyond.is_closed_within(5000));
  EXPECT_FALSE(open.back()->is_closed_within(100));
  open.clear();
}

TEST(ReportServer, SaysWhatIsWrongWithFolderAndPort) {
  const TemporaryFolder folder;
  EXPECT_THROW(ReportServer(folder / "missing", 0), IoError);
  const ReportServer first(folder.path(), 0);
  EXPECT_THROW(ReportServer(folder.path(), first.port()), IoError);
}

}  // namespace
}  // namespace espalier::experiments::report
