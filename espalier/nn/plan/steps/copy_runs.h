// SPDX-License-Identifier: Apache-2.0
/// Copies position by position, and as runs: the two forms of what a Copy step does. Not a public
/// interface.
#pragma once

#include <vector>

#include <espalier/nn/plan/steps/graph.h>

namespace espalier::nn::plan {

/// Where a position of the output comes from; input -1: it is 0.
struct Source {
  int64_t input = -1;
  int64_t at = 0;
};

/// The fewest runs, from left to right, that copy `sources`.
std::vector<CopyRun> runs_of(const std::vector<Source>& sources);
/// The sources of `size` positions.
std::vector<Source> sources_of(const std::vector<CopyRun>& runs, int64_t size);

}  // namespace espalier::nn::plan
