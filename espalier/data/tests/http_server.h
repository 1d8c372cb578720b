// SPDX-License-Identifier: Apache-2.0
/// A web server of one file on the loopback interface, with the faults that downloads must survive.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace espalier::data::testing {

/// Answers GET requests one after the other until it is destroyed.
class HttpServer {
 public:
  /// How it behaves.
  struct Behaviour {
    bool ranges = true;        ///< honours `Range: bytes=N-`
    int64_t break_after = -1;  ///< the first `breaks` answers end after so many bytes of content
    int breaks = 0;
    int status = 200;         ///< other than 200: an error page
    int64_t drip = 0;         ///< bytes each 10 ms, instead of all at once
    bool is_endless = false;  ///< says no length and repeats the content for ever
  };

  HttpServer(std::vector<uint8_t> content, Behaviour behaviour);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url() const;
  /// First bytes that were asked for, one a request.
  const std::vector<int64_t>& starts() const { return starts_; }

 private:
  void serve();
  void answer(int client);

  std::vector<uint8_t> content_;
  Behaviour behaviour_;
  int socket_ = -1;
  int port_ = 0;
  std::vector<int64_t> starts_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace espalier::data::testing
