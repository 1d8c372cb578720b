// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/server.h>

#include <mutex>

#include <fmt/format.h>

#include <espalier/core/error.h>
#include <espalier/core/random.h>
#include <espalier/experiments/report/limited_server.h>
#include <espalier/experiments/report/report.h>
#include <espalier/experiments/run/run_files.h>

namespace espalier::experiments::report {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLoopback = "127.0.0.1";

// A short text of what decides the page: sizes and times of the files that are read for it.
std::string state_of(const fs::path& folder) {
  std::string all;
  for (const fs::path& run : find_runs(folder)) {
    all += run.string() + '\n';
    for (const char* name : {kRunFile, kMetricsFile, kModelFile, kRunsTable, kLayersTable}) {
      std::error_code error;
      const auto size = fs::file_size(run / name, error);
      if (error) continue;
      const auto time = fs::last_write_time(run / name, error);
      all += fmt::format("{} {} {}\n", name, size, time.time_since_epoch().count());
    }
  }
  return fmt::format("{:016x}", stream_id(all));
}

}  // namespace

struct ReportServer::Impl {
  explicit Impl(const ServerLimits& limits) : server(limits) {}

  fs::path folder;
  int port = 0;
  LimitedServer server;
  std::mutex drawing;  ///< guards what follows
  PictureCache pictures;
  std::string drawn_state;  ///< of `drawn`
  std::string drawn;        ///< the newest page

  // A name that another page had resolved to this machine must not read what is here.
  bool is_ours(const httplib::Request& request) const {
    const std::string host = request.get_header_value("Host");
    for (const std::string name : {kLoopback, "localhost"}) {
      if (host == fmt::format("{}:{}", name, port) || (port == 80 && host == name)) return true;
    }
    return false;
  }

  void page(httplib::Response& response) {
    const std::lock_guard lock(drawing);
    // Before the runs are read: a change in between is then seen the next time.
    const std::string state = state_of(folder);
    if (drawn.empty() || state != drawn_state) {
      const std::vector<fs::path> found = find_runs(folder);
      const Report report(found.empty() ? std::vector<ReportRun>() : read_runs({folder}));
      drawn = html_page(report, {.live = true, .state = state, .cache = &pictures});
      drawn_state = state;
    }
    response.set_content(drawn, "text/html");
  }
};

ReportServer::ReportServer(fs::path folder, int port)
    : ReportServer(std::move(folder), port, ServerLimits()) {}

ReportServer::ReportServer(fs::path folder, int port, const ServerLimits& limits)
    : impl_(std::make_unique<Impl>(limits)) {
  ESPALIER_CHECK(fs::is_directory(folder),
                 IoError,
                 "report: ",
                 folder.string(),
                 " is no folder that could be watched");
  impl_->folder = std::move(folder);
  LimitedServer& server = impl_->server;
  // Without the library's SO_REUSEPORT, by which two servers would share a port.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.set_pre_routing_handler([this](const httplib::Request& request,
                                        httplib::Response& response) {
    response.set_header("Cache-Control", "no-store");
    response.set_header("X-Content-Type-Options", "nosniff");
    if (impl_->is_ours(request)) return httplib::Server::HandlerResponse::Unhandled;
    response.status = 403;
    response.set_content("The report answers to this machine's own names only.\n", "text/plain");
    return httplib::Server::HandlerResponse::Handled;
  });
  server.Get(
      "/", [this](const httplib::Request&, httplib::Response& response) { impl_->page(response); });
  server.Get("/state", [this](const httplib::Request&, httplib::Response& response) {
    response.set_content(state_of(impl_->folder), "text/plain");
  });
  server.set_exception_handler(
      [](const httplib::Request&, httplib::Response& response, std::exception_ptr error) {
        response.status = 500;
        try {
          std::rethrow_exception(std::move(error));
        } catch (const std::exception& what) {
          response.set_content(std::string(what.what()) + "\n", "text/plain");
        } catch (...) {
          response.set_content("unknown error\n", "text/plain");
        }
      });
  if (port == 0) {
    impl_->port = server.bind_to_any_port(kLoopback);
  } else {
    impl_->port = server.bind_to_port(kLoopback, port) ? port : -1;
  }
  ESPALIER_CHECK(impl_->port > 0,
                 IoError,
                 "report: can't listen on ",
                 kLoopback,
                 " port ",
                 port,
                 ": it is taken. Choose another --port, or 0 for a free one");
}

ReportServer::~ReportServer() {
  stop();
}

int ReportServer::port() const {
  return impl_->port;
}

void ReportServer::run() {
  impl_->server.listen_after_bind();
}

void ReportServer::stop() {
  impl_->server.stop();
}

}  // namespace espalier::experiments::report
