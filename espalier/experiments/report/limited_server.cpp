// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/limited_server.h>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace espalier::experiments::report {
namespace {

using Clock = std::chrono::steady_clock;

// Set while a connection is only to be closed.
thread_local bool refusing = false;
// When the connection came that this thread works on, and the count that it is in.
thread_local Clock::time_point accepted;
thread_local std::atomic<size_t>* counted = nullptr;
// For what a client sent while others were answered.
constexpr std::chrono::milliseconds kReadAtLeast{100};

class Connection : public httplib::Stream {
 public:
  Connection(socket_t sock, const ServerLimits& limits)
      : sock_(sock),
        limits_(limits),
        read_until_(std::max(accepted + limits.read, Clock::now() + kReadAtLeast)) {}

  bool is_readable() const override { return begin_ < end_ || wait(POLLIN, read_until_); }
  bool is_writable() const override { return wait(POLLOUT, write_until()); }
  ssize_t read(char* out, size_t size) override {
    if (begin_ == end_ && !fill()) return -1;
    const size_t count = std::min(size, end_ - begin_);
    std::copy_n(buffer_ + begin_, count, out);
    begin_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* data, size_t size) override {
    while (wait(POLLOUT, write_until())) {
      const ssize_t sent = ::send(sock_, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent >= 0) return sent;
      if (errno != EAGAIN && errno != EINTR) return -1;
    }
    return -1;
  }
  // Nobody asks for them: all clients are on this machine.
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return sock_; }

 private:
  bool fill() {
    if (taken_ >= limits_.request_bytes) return false;
    while (wait(POLLIN, read_until_)) {
      const ssize_t got = ::recv(sock_, buffer_, sizeof buffer_, MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got <= 0) return false;
      begin_ = 0;
      end_ = static_cast<size_t>(got);
      taken_ += end_;
      return true;
    }
    return false;
  }
  /// The answer's time begins with its first byte: making it is not the client's doing.
  Clock::time_point write_until() const {
    if (!write_until_) write_until_ = Clock::now() + limits_.write;
    return *write_until_;
  }
  bool wait(short event, Clock::time_point until) const {
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
      if (left.count() <= 0) return false;
      pollfd one{.fd = sock_, .events = event, .revents = 0};
      const int ready = ::poll(&one, 1, static_cast<int>(left.count()));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) return false;
    }
  }

  socket_t sock_;
  const ServerLimits& limits_;
  Clock::time_point read_until_;
  mutable std::optional<Clock::time_point> write_until_;
  char buffer_[4096] = {};
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t taken_ = 0;
};

// A pool that never has more than so many connections before it.
class LimitedPool : public httplib::TaskQueue {
 public:
  explicit LimitedPool(const ServerLimits& limits)
      : most_(limits.threads + limits.waiting), pool_(limits.threads) {}
  void enqueue(std::function<void()> task) override {
    if (++open_ > most_) {
      --open_;
      refusing = true;
      task();
      refusing = false;
      return;
    }
    // A client's time runs while it waits for its turn: a hundred that send nothing take no longer
    // than one.
    pool_.enqueue([this, task = std::move(task), since = Clock::now()] {
      accepted = since;
      counted = &open_;
      task();
    });
  }
  void shutdown() override { pool_.shutdown(); }

 private:
  size_t most_;
  std::atomic<size_t> open_{0};
  httplib::ThreadPool pool_;
};

}  // namespace

LimitedServer::LimitedServer(const ServerLimits& limits) : limits_(limits) {
  set_payload_max_length(limits.request_bytes);
  new_task_queue = [this] { return new LimitedPool(limits_); };  // which the server deletes
}

bool LimitedServer::process_and_close_socket(socket_t sock) {
  bool done = false;
  if (!refusing) {
    Connection connection(sock, limits_);
    bool closed = false;
    done = process_request(connection, true, closed, nullptr);
  }
  // First, so that whoever sees it closed finds its place free.
  if (counted != nullptr) --*std::exchange(counted, nullptr);
  ::shutdown(sock, SHUT_RDWR);
  ::close(sock);
  return done;
}

}  // namespace espalier::experiments::report
