// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/peers/child.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>

#include <espalier/core/error.h>

namespace espalier::experiments::peers {

Child::Child(const std::vector<std::string>& command,
             const std::vector<std::pair<std::string, std::string>>& environment)
    : name_(command.front()) {
  std::signal(SIGPIPE, SIG_IGN);  // a child that ended is an error of ask(), not our end
  int in[2];
  int out[2];
  // Closed in children: one that held another's input open would keep it alive.
  ESPALIER_CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0,
                 IoError,
                 "peers: no pipe for ",
                 name_);
  pid_ = fork();
  ESPALIER_CHECK(pid_ >= 0, IoError, "peers: cannot start ", name_);
  if (pid_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    for (const auto& [key, value] : environment) setenv(key.c_str(), value.c_str(), 1);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(arguments.front(), arguments.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  to_ = in[1];
  from_ = out[0];
}

Child::~Child() {
  close(to_);
  close(from_);
  int status = 0;
  waitpid(pid_, &status, 0);
}

double Child::ask(const std::string& line) {
  const std::string request = line + "\n";
  std::string answer;
  if (write(to_, request.data(), request.size()) == static_cast<ssize_t>(request.size())) {
    char c = 0;
    while (read(from_, &c, 1) == 1 && c != '\n') answer += c;
  }
  double number = 0.0;
  const char* const last = answer.data() + answer.size();
  const auto [end, error] = std::from_chars(answer.data(), last, number);
  ESPALIER_CHECK(error == std::errc{} && end == last,
                 IoError,
                 "peers: ",
                 name_,
                 " was asked '",
                 line,
                 "' and answered '",
                 answer,
                 "', not a number");
  return number;
}

}  // namespace espalier::experiments::peers
