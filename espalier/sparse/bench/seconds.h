// SPDX-License-Identifier: Apache-2.0
/// Time of the processor, which what else the machine does disturbs less than time of the clock.
#pragma once

#include <ctime>

namespace espalier {

/// Seconds that all threads of this process spent on `run`.
template <class F>
double seconds_of(F run) {
  const double start = static_cast<double>(std::clock());
  run();
  return (static_cast<double>(std::clock()) - start) / CLOCKS_PER_SEC;
}

}  // namespace espalier
