// SPDX-License-Identifier: Apache-2.0
/// The `espalier` program. All of it is in the library, where tests reach it.
#include <iostream>

#include <unistd.h>

#include <espalier/experiments/command.h>

int main(int argc, char** argv) {
  espalier::experiments::Console console{
      .out = std::cout, .err = std::cerr, .terminal = ::isatty(STDERR_FILENO) == 1};
  return espalier::experiments::run_command({argv + 1, argv + argc}, console);
}
