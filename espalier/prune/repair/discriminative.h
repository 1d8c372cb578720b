// SPDX-License-Identifier: Apache-2.0
/// Channels by how much a joint loss wants them, as DCP chooses and trains them.
#pragma once

#include <memory>

#include <espalier/prune/curvature/joint_loss.h>
#include <espalier/prune/repair/repair.h>

namespace espalier::prune {

/// Settings.
struct DiscriminativeOptions {
  int64_t batches = 4;     ///< of a pass over the data
  int64_t rounds = 0;      ///< in which the channels of a layer are taken in; 0: one by one
  double tolerance = 0.0;  ///< no more are, once a round changes L by less than this share of it
  JointLossOptions loss = {};  ///< L
};
/// Channels are taken in, those whose weights in the layer that reads them have the largest
/// gradient of a joint loss (curvature/joint_loss.h), and after each round a pass trains the
/// weights of those that are in, from their original values. The network is trained, too, when a
/// stage begins. Source: Zhuang et al., arXiv 1810.11809, algorithms 1 and 2.
std::shared_ptr<Repair> discriminative_channels(const DiscriminativeOptions& options);

}  // namespace espalier::prune
