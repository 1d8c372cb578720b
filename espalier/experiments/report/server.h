// SPDX-License-Identifier: Apache-2.0
/// The report of a folder as a page on this machine that follows the runs in it. Answers GET on the
/// loopback address only; nothing can be changed through it. A client that is slow to ask or to
/// take its answer is closed (limited_server.h).
#pragma once

#include <filesystem>
#include <memory>

namespace espalier::experiments::report {

struct ServerLimits;

/// Serves `/`, the page of all runs that are in a folder at that moment, and `/state`, a text that
/// changes when they do.
class ReportServer {
 public:
  /// Listens on 127.0.0.1 at once. `port` 0 takes a free one. Throws IoError for a folder that is
  /// none and for a port that is taken.
  ReportServer(std::filesystem::path folder, int port);
  /// The same with other limits than the usual ones.
  ReportServer(std::filesystem::path folder, int port, const ServerLimits& limits);
  ~ReportServer();
  ReportServer(const ReportServer&) = delete;
  ReportServer& operator=(const ReportServer&) = delete;

  /// The port it listens on.
  int port() const;
  /// Answers until `stop` is called from another thread.
  void run();
  /// Ends `run`; may be called before it.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier::experiments::report
