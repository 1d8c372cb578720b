// SPDX-License-Identifier: Apache-2.0
/// Channels in another order: the same network, whose masks fit the kernels better. Kernels take
/// four neighbouring output channels at a time where these keep the same weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <espalier/nn/train/optimizer.h>
#include <espalier/prune/structure/channel_graph.h>

namespace espalier::prune {

/// Puts channels in another order in every tensor that they are part of: channel c of `groups[g]`
/// becomes what channel `orders[g][c]` was; an empty order leaves its group alone. The network
/// computes the same but for the order of its sums, and its next training step is the same.
/// Parameters, masks, buffers and the slots of `optimizer` (null, or of this model) follow;
/// gradients are dropped.
///
/// Throws ValueError for an order that is none, and for a frozen group; nothing is changed then.
void reorder_channels(nn::Module& model,
                      const std::vector<ChannelGroup>& groups,
                      const std::vector<std::vector<int32_t>>& orders,
                      nn::Optimizer* optimizer = nullptr);

/// How well the mask of one weight fills blocks of four output channels at one position.
struct BlockFill {
  std::string name;     ///< of the weight
  double density = 0;   ///< kept weights of all
  double before = 0.0;  ///< kept weights of the positions of blocks that have any
  double after = 0.0;   ///< the same in the new order
};

/// Reorders the channels of `model` so that neighbours keep the same weights: each block of four
/// starts from the channel with the most weights that is left, takes those that share most with
/// it, and pairs are exchanged between blocks while that fills them better (greedy and local, as
/// the search for input channels of N:M by Pool and Yu, NeurIPS 2021). Nothing changes for a
/// network without masks. Returns what it did to every masked weight.
///
/// input      one sample, for tracing (see trace_channels).
/// optimizer  of this model, or null.
std::vector<BlockFill> gather_blocks(nn::Module& model,
                                     const Variable& input,
                                     nn::Optimizer* optimizer = nullptr);

}  // namespace espalier::prune
