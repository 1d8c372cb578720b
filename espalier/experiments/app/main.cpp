// SPDX-License-Identifier: Apache-2.0
/// The `espalier` program. All of it is in the library, where tests reach it.
#include <algorithm>
#include <csignal>
#include <iostream>

#include <fcntl.h>
#include <unistd.h>

#include <espalier/experiments/command/command.h>

namespace {

// A stream that was closed at the start stays one that can't be used: the next file that is opened
// would take its number, and what is printed would land in it.
void keep_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0) continue;
    // The lowest free number is this one. Opened the wrong way round, so that using it fails.
    if (::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) != stream) ::_exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  keep_standard_streams();
  // A file that grows over `ulimit -f` is then an error of the write, with a name and a reason.
  std::signal(SIGXFSZ, SIG_IGN);
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  espalier::experiments::Console console{
      .out = std::cout,
      .err = std::cerr,
      .terminal = terminal,
      .colour = terminal && espalier::experiments::wants_colour(),
      .program = argc > 0 ? argv[0] : "espalier"};
  return espalier::experiments::run_command({argv + std::min(argc, 1), argv + argc}, console);
}
