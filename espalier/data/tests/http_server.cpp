// SPDX-License-Identifier: Apache-2.0
#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace espalier::data::testing {
namespace {

bool send_all(int client, const char* bytes, int64_t count) {
  while (count > 0) {
    const ssize_t n = send(client, bytes, static_cast<size_t>(count), MSG_NOSIGNAL);
    if (n <= 0) return false;  // the client went away
    bytes += n;
    count -= n;
  }
  return true;
}

}  // namespace

HttpServer::HttpServer(std::vector<uint8_t> content, Behaviour behaviour)
    : content_(std::move(content)), behaviour_(behaviour) {
  socket_ = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  if (socket_ < 0 || bind(socket_, raw, length) != 0 || listen(socket_, 8) != 0 ||
      getsockname(socket_, raw, &length) != 0) {
    throw std::runtime_error("no loopback socket");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

HttpServer::~HttpServer() {
  stop_ = true;
  thread_.join();
  close(socket_);
}

std::string HttpServer::url() const {
  return "http://127.0.0.1:" + std::to_string(port_) + "/file.bin";
}

void HttpServer::serve() {
  while (!stop_) {
    pollfd waiting{socket_, POLLIN, 0};
    if (poll(&waiting, 1, 20) <= 0) continue;
    const int client = accept(socket_, nullptr, nullptr);
    if (client < 0) continue;
    answer(client);
    shutdown(client, SHUT_RDWR);
    close(client);
  }
}

void HttpServer::answer(int client) {
  std::string request;
  char piece[1024];
  while (request.find("\r\n\r\n") == std::string::npos) {
    const ssize_t n = recv(client, piece, sizeof piece, 0);
    if (n <= 0) return;
    request.append(piece, static_cast<size_t>(n));
  }
  const auto size = static_cast<int64_t>(content_.size());
  int64_t start = 0;
  const size_t range = request.find("Range: bytes=");
  if (range != std::string::npos) start = std::atoll(request.c_str() + range + 13);
  starts_.push_back(start);
  std::string head;
  if (behaviour_.status != 200) {
    head =
        "HTTP/1.1 " + std::to_string(behaviour_.status) + " No\r\nContent-Length: 5\r\n\r\nSorry";
    send_all(client, head.data(), static_cast<int64_t>(head.size()));
    return;
  }
  if (!behaviour_.ranges) start = 0;
  if (start > 0 && start >= size) {
    head = "HTTP/1.1 416 Range\r\nContent-Length: 0\r\nContent-Range: bytes */" +
           std::to_string(size) + "\r\nConnection: close\r\n\r\n";
    send_all(client, head.data(), static_cast<int64_t>(head.size()));
    return;
  }
  head = start > 0 ? "HTTP/1.1 206 Partial\r\nContent-Range: bytes " + std::to_string(start) + "-" +
                         std::to_string(size - 1) + "/" + std::to_string(size) + "\r\n"
                   : "HTTP/1.1 200 OK\r\n";
  if (!behaviour_.is_endless) {
    head += "Content-Length: " + std::to_string(size - start) + "\r\n";
  }
  head += "Connection: close\r\n\r\n";
  send_all(client, head.data(), static_cast<int64_t>(head.size()));
  int64_t count = size - start;
  if (behaviour_.breaks > 0 && behaviour_.break_after >= 0) {
    --behaviour_.breaks;
    count = std::min(count, behaviour_.break_after);
  }
  const char* content = reinterpret_cast<const char*>(content_.data());
  if (behaviour_.is_endless) {
    while (!stop_ && send_all(client, content, size)) {
    }
  } else if (behaviour_.drip > 0) {
    for (int64_t at = start; !stop_ && at < size; at += behaviour_.drip) {
      if (!send_all(client, content + at, std::min(behaviour_.drip, size - at))) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  } else {
    send_all(client, content + start, count);
  }
}

}  // namespace espalier::data::testing
