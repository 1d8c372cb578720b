// SPDX-License-Identifier: Apache-2.0
/// From a network with channels that are all zero to a physically smaller one that computes the
/// same.
#pragma once

#include <cstdint>
#include <vector>

#include <espalier/nn/train/optimizer.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/structure/resize_report.h>

namespace espalier::prune {

/// Removes every channel whose members are all zero, by mask or by value: the producers' filters
/// and biases, and the scale and shift of the norms that follow. Such a channel is 0 for any input,
/// in training too, so the smaller network gives the same numbers, and its next training step is
/// the masked network's. Parameters (the same objects, with new tensors), buffers, masks (dropped
/// where all of what is left is kept) and the slots of `optimizer` are cut; gradients are dropped.
/// Where all channels of a layer are zero beside a path that goes on, one stays, with a note.
///
/// model      changed in place; module and parameter names stay.
/// input      one sample, for tracing (see trace_channels).
/// optimizer  of this model, or null.
///
/// Throws ValueError naming the layer when nothing would be left of it and the network is cut,
/// NotImplemented for a layer that can't change its sizes; nothing is changed then.
ResizeReport shrink(nn::Module& model, const Variable& input, nn::Optimizer* optimizer = nullptr);

/// Removes channels by masks alone: `keep[g][c]` 0 masks every slice of channel c of `groups[g]`,
/// on top of the masks that are there. Throws ValueError for a frozen group and for wrong sizes;
/// nothing is changed then.
void mask_channels(nn::Module& model,
                   const std::vector<ChannelGroup>& groups,
                   const std::vector<std::vector<uint8_t>>& keep);

}  // namespace espalier::prune
