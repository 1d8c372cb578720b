// SPDX-License-Identifier: Apache-2.0
/// cpp-httplib's server with limits that it has not: one request a connection, whole within a time
/// and a size, and no more connections at once than a few. Its own timeouts begin anew with every
/// byte, so that a handful of clients that send one a second keep all others out.
#pragma once

#include <chrono>
#include <cstddef>

#include <httplib.h>

namespace espalier::experiments::report {

/// What one client may take.
struct ServerLimits {
  std::chrono::milliseconds read = std::chrono::seconds(5);    ///< until its request is there
  std::chrono::milliseconds write = std::chrono::seconds(30);  ///< until it has the answer
  size_t request_bytes = size_t{1} << 16;
  size_t threads = 4;   ///< connections that are answered at once
  size_t waiting = 64;  ///< further ones; what comes beyond them is closed
};

/// Closes what goes beyond the limits.
class LimitedServer : public httplib::Server {
 public:
  explicit LimitedServer(const ServerLimits& limits);

 private:
  bool process_and_close_socket(socket_t sock) override;

  ServerLimits limits_;
};

}  // namespace espalier::experiments::report
