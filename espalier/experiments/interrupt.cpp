// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/interrupt.h>

#include <array>
#include <csignal>

#include <unistd.h>

namespace espalier::experiments {
namespace {

constexpr std::array<int, 2> kSignals = {SIGINT, SIGTERM};

volatile std::sig_atomic_t asked = 0;
int depth = 0;
std::array<struct sigaction, kSignals.size()> before = {};

extern "C" void ask_to_stop(int signal) {
  if (asked != 0) {
    std::signal(signal, SIG_DFL);
    ::raise(signal);
    return;
  }
  asked = 1;
  constexpr char kText[] = "\nstopping after the running step; a second signal ends at once\n";
  if (::write(STDERR_FILENO, kText, sizeof kText - 1) < 0) return;  // nobody reads it
}

}  // namespace

InterruptScope::InterruptScope() {
  if (depth++ > 0) return;
  asked = 0;
  struct sigaction action {};
  action.sa_handler = ask_to_stop;
  action.sa_flags = SA_RESTART;  // reads and writes go on
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &before[i]);
    // What runs in the background of a script is not to be stopped by the keyboard.
    if (before[i].sa_handler != SIG_IGN) ::sigaction(kSignals[i], &action, nullptr);
  }
}

InterruptScope::~InterruptScope() {
  if (--depth > 0) return;
  for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before[i], nullptr);
}

bool is_interrupted() {
  return depth > 0 && asked != 0;
}

void stop_if_interrupted(const std::string& where) {
  if (is_interrupted()) throw Interrupted{where};
}

}  // namespace espalier::experiments
