// SPDX-License-Identifier: Apache-2.0
/// Timing on a machine that is shared: sides take turns, medians of several rounds, and the peak of
/// the machine as it is now.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace espalier::experiments::timing {

/// Seconds of one call, by round.
struct RoundTimes {
  std::vector<double> seconds;
  double median() const;
  /// (largest - smallest) / median.
  double spread() const;
};

/// Something to time: runs its work once and returns the seconds that this took.
using Side = std::function<double()>;

/// Calls of all sides in turn, so that they meet the same neighbours: `rounds` rounds, in each of
/// them as many calls of a side as fill about `round_seconds` (at least one). Every side is called
/// twice beforehand.
std::vector<RoundTimes> time_in_turns(const std::vector<Side>& sides,
                                      int64_t rounds,
                                      double round_seconds);

/// What chance leaves of a difference that was measured again and again.
struct TimeDifference {
  double seconds = 0.0;  ///< the median
  double noise = 0.0;    ///< two standard errors of it
  /// False: it is not told apart from none.
  bool is_sure() const { return seconds > noise; }
};
/// Of a side that returns differences: measured for about `seconds`, and `least` times at least.
TimeDifference measure_difference(const Side& side, int64_t least, double seconds);

/// A side of work that returns nothing.
Side timed(std::function<void()> work);

/// Floating-point operations per second of all threads together, with operands in registers only:
/// the best of five tries.
double measure_peak();

/// The geometric mean of positive numbers; 0 of none.
double geometric_mean(const std::vector<double>& numbers);

}  // namespace espalier::experiments::timing
