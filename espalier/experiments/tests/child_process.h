// SPDX-License-Identifier: Apache-2.0
/// The command as a process of its own, which can be sent signals. Tests only.
#pragma once

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace espalier::experiments {

/// Starts the command; what it prints on both streams goes to `out`.
inline pid_t start_command(const std::vector<std::string>& arguments,
                           const std::filesystem::path& out = "/dev/null") {
  std::vector<char*> argv = {const_cast<char*>(ESPALIER_COMMAND)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  const int file = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(file, STDOUT_FILENO);
  ::dup2(file, STDERR_FILENO);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

/// How a process ended.
struct End {
  bool signalled = false;  ///< a signal was sent to it
  int by_signal = 0;       ///< that ended it; 0: it ended by itself
  int code = -1;           ///< of one that ended by itself
};

/// Waits for the end, and sends `signal` after `limit` if that comes first.
inline End wait_or_signal(pid_t child, std::chrono::duration<double> limit, int signal = SIGKILL) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit);
  End end;
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (!end.signalled && Clock::now() >= deadline) {
      ::kill(child, signal);
      end.signalled = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (WIFSIGNALED(status)) end.by_signal = WTERMSIG(status);
  if (WIFEXITED(status)) end.code = WEXITSTATUS(status);
  return end;
}

}  // namespace espalier::experiments
