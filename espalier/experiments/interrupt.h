// SPDX-License-Identifier: Apache-2.0
/// Ctrl-C and `kill` while something long is at work: it is asked to stop, so that it ends where it
/// can go on again. A second signal ends the process at once.
#pragma once

#include <string>

namespace espalier::experiments {

/// Thrown where work that was asked to stop has stopped. No std::exception: it is no failure, and
/// what catches failures must not take it for one.
struct Interrupted {
  std::string where;  ///< what is there now: `after step 12 of 60; runs/a holds it`
};

/// While one of these lives, SIGINT and SIGTERM ask for a stop instead of ending the process. They
/// may lie in one another; the outermost decides. Of the main thread alone.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
};

/// True once a stop was asked for within the outermost scope.
bool is_interrupted();

/// Throws Interrupted when a stop was asked for.
void stop_if_interrupted(const std::string& where);

}  // namespace espalier::experiments
