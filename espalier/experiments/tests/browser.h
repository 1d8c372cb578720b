// SPDX-License-Identifier: Apache-2.0
/// A headless Chromium, driven through chromedriver (WebDriver, W3C). Tests only.
#pragma once

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <httplib.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <espalier/core/error.h>

namespace espalier::experiments {

/// One browser with one page. Throws Error when it does not do what it is told.
class Browser {
 public:
  using Json = nlohmann::json;

  /// True when chromedriver is installed.
  static bool is_installed() { return std::system("command -v chromedriver >/dev/null 2>&1") == 0; }

  /// Files that the page saves go to `downloads`.
  explicit Browser(const std::filesystem::path& downloads) : port_(free_port()) {
    const std::string port = "--port=" + std::to_string(port_);
    std::string words[] = {"chromedriver", port, "--silent"};
    char* arguments[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const int error = ::posix_spawnp(&driver_, "chromedriver", &files, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) throw Error("browser: chromedriver does not start");
    try {
      open_session(downloads);
    } catch (...) {
      end();
      throw;
    }
  }
  ~Browser() {
    client().Delete("/session/" + session_);
    end();
  }
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  void open(const std::string& address) { call("url", {{"url", address}}); }
  /// The value of a script's `return`.
  Json run(const std::string& script) {
    return call("execute/sync", {{"script", script}, {"args", Json::array()}});
  }
  void click(const std::string& selector) {
    call("element/" + element(selector) + "/click", Json::object());
  }
  /// Types into what has the focus after `selector` got it; "\uE007" is Enter, "\uE00D" Space.
  void type(const std::string& selector, const std::string& keys) {
    call("element/" + element(selector) + "/value", {{"text", keys}});
  }
  /// What the console was told since the last call, warnings and errors.
  Json console() { return call("se/log", {{"type", "browser"}}); }
  /// A command of Chromium's own protocol.
  Json chromium(const std::string& command, const Json& parameters) {
    return call("goog/cdp/execute", {{"cmd", command}, {"params", parameters}});
  }

 private:
  static int free_port() {
    const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    const bool bound = ::bind(probe, plain, size) == 0 && ::getsockname(probe, plain, &size) == 0;
    ::close(probe);
    if (!bound) throw Error("browser: no free port");
    return ntohs(address.sin_port);
  }

  httplib::Client client() const {
    httplib::Client out("127.0.0.1", port_);
    out.set_read_timeout(20);
    return out;
  }

  Json post(const std::string& path, const Json& body) const {
    const auto answer = client().Post(path, body.dump(), "application/json");
    if (!answer) throw Error("browser: chromedriver does not answer");
    const Json json = Json::parse(answer->body);
    if (answer->status != 200) throw Error("browser: " + path + ": " + json.dump());
    return json.at("value");
  }
  Json call(const std::string& path, const Json& body) const {
    return post("/session/" + session_ + "/" + path, body);
  }

  void open_session(const std::filesystem::path& downloads) {
    for (int i = 0; !client().Get("/status"); ++i) {
      if (i == 200) throw Error("browser: chromedriver does not answer");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    const Json options = {
        {"args", {"--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"}},
        {"prefs", {{"download.default_directory", downloads.string()}}}};
    session_ = post("/session",
                    {{"capabilities",
                      {{"alwaysMatch",
                        {{"browserName", "chrome"},
                         {"goog:loggingPrefs", {{"browser", "ALL"}}},
                         {"goog:chromeOptions", options}}}}}})
                   .at("sessionId");
  }

  std::string element(const std::string& selector) const {
    const Json found = call("element", {{"using", "css selector"}, {"value", selector}});
    return found.begin().value();
  }

  void end() const {
    ::kill(driver_, SIGTERM);
    ::waitpid(driver_, nullptr, 0);
  }

  int port_;
  pid_t driver_ = 0;
  std::string session_;
};

}  // namespace espalier::experiments
