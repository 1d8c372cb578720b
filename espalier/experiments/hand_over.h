// SPDX-License-Identifier: Apache-2.0
/// How far apart the processors are: what one writes reaches another within 20 to 40 ns where they
/// share a cache, and several times as late where they don't. Figures of several threads depend on
/// it, and on a virtual machine it may change from one minute to the next.
#pragma once

#include <optional>

namespace espalier::experiments {

/// Nanoseconds until a write of one processor is seen by another, of the nearest and of the
/// farthest pair.
struct HandOver {
  double nearest = 0.0;
  double farthest = 0.0;
};

/// Measures it between the first processor of this process and each of the next fifteen, in a few
/// milliseconds each; nothing where there is one processor, or neither processors nor threads can
/// be had.
std::optional<HandOver> measure_hand_over();

}  // namespace espalier::experiments
