// SPDX-License-Identifier: Apache-2.0
/// What is timed in turns when peers are compared: a child process as a side, and ours repeated
/// until a round is long enough.
#pragma once

#include <string>

#include <espalier/experiments/peers/child.h>
#include <espalier/experiments/timing/rounds.h>

namespace espalier::experiments::peers {

/// A program beside this one. Throws IoError that names the Debian package when it was not built.
std::string beside(const std::string& program, const std::string& package);

/// A child as a side: asks for `count` runs of `request`, so many that an answer takes long enough
/// to measure, and gives the seconds of one. The child must outlive it.
timing::Side side_of(Child& child, std::string request, double round_seconds);

/// Ours in the same way: a round is one call of so many runs.
timing::Side repeated(timing::Side side, double round_seconds);

}  // namespace espalier::experiments::peers
