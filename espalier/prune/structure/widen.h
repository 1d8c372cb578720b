// SPDX-License-Identifier: Apache-2.0
/// Wider networks: shrinking read backwards. Channels come several times, in every tensor that they
/// are part of, and layers that read a channel m times read it with an m-th of the weight, so that
/// the network computes the same; or grown channels begin with weights of their own.
#pragma once

#include <cstdint>
#include <vector>

#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/structure/resize_report.h>

namespace espalier::prune {

/// Which weights of a widened network are drawn anew.
enum class Fresh : uint8_t {
  None,   ///< grown channels are copies: the function stays
  Grown,  ///< all that makes, scales or reads a grown channel: the function changes
  All     ///< the widths alone are kept
};

/// Settings of widening.
struct WidenOptions {
  Fresh fresh = Fresh::None;  ///< what is drawn anew
  /// Normal noise on the filters of copies, which would else stay copies where nothing but the
  /// readers' weights tells them apart: its standard deviation, in that of the weight's entries.
  double noise = 0.0;
  uint64_t seed = 0;  ///< of weights, noise, and of which channels are copied
};

/// Every group's width times `factor`, rounded down; frozen groups keep theirs, and no group gets
/// narrower. Throws ValueError for a factor below 1.
std::vector<int64_t> widths_times(const std::vector<ChannelGroup>& groups, double factor);

/// Widens every group of `trace_channels(model, input).groups(model)` to `widths`: each of its
/// channels comes as often as the others or once more, which ones at random, and copies stand
/// behind what they are copies of. Parameters (the same objects, with new tensors), masks, buffers
/// and the layers' sizes follow; gradients are dropped. An optimizer is to be made afterwards.
///
/// input  one sample, for tracing (see trace_channels).
///
/// Throws ValueError for the wrong number of widths, a width below the present one, another width
/// of a frozen group, negative noise, and noise without copies; NotImplemented for a layer that
/// can't change its sizes; nothing is changed then.
/// Source: Chen, Goodfellow, Shlens, arXiv 1511.05641, section 2.3 (Net2WiderNet).
ResizeReport widen(nn::Module& model,
                   const Variable& input,
                   const std::vector<int64_t>& widths,
                   const WidenOptions& options = {});

}  // namespace espalier::prune
