// SPDX-License-Identifier: Apache-2.0
/// A decay of channel groups that is the stronger the less a channel matters in its group.
#pragma once

#include <memory>

#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// Settings of the decay.
struct GroupDecayOptions {
  double strength = 5e-4;  ///< of the most important channel of a group
  double alpha = 4.0;      ///< that of the least is 2^alpha times as strong
};
/// While its event lasts, strength * g_k * w is added to the gradients of all members of a channel
/// (`members_of`), with g_k = `growing_factors` of the roots of the group's importances, at every
/// step. Source: Fang et al., arXiv 2301.12900, and the authors' code. (group_decay.cpp)
std::shared_ptr<Action> group_decay(const GroupDecayOptions& options);

}  // namespace espalier::prune
