// SPDX-License-Identifier: Apache-2.0
/// The channel graph: which channels of a network are the same channel, read from the network's
/// graph (nn/graph) of one sample. Every element of every activation carries the number of the
/// channel that made it. Ops that move elements move the numbers, ops that combine elements make
/// their numbers one, as the ops' own files tell (autograd/op_rule.h); layers read and make them;
/// so additions, concatenations, flattening, pads, depthwise convolutions, gates that multiply each
/// channel and shared layers need no rules of their own. What is not known is frozen, with a reason
/// by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <espalier/nn/module/module.h>
#include <espalier/prune/structure/channel_group.h>

namespace espalier::prune {

/// A layer, and the channel number of each of its input and output channels. For a linear layer
/// after flatten the inputs are features, and several belong to one channel.
struct LayerChannels {
  std::string name;              ///< dotted
  nn::Module* module = nullptr;  ///< in the model
  std::vector<int32_t> in;       ///< empty when the layer has no input channels to cut (embedding)
  std::vector<int32_t> out;      ///< channel number of each output
  /// Its outputs do nothing but multiply channels that other layers make (squeeze-and-excitation,
  /// arXiv:1709.01507): where such a channel is zero, it does not matter what this layer says.
  bool gates = false;
};

/// The channels of a network, as of its sizes at the time of tracing.
struct ChannelGraph {
  /// By channel number: why it can't be removed; empty if it can.
  std::vector<std::string> frozen_because;
  /// In the order of their first call.
  std::vector<LayerChannels> layers;

  /// Numbers in use.
  int32_t channels() const { return static_cast<int32_t>(frozen_because.size()); }
  /// Channels with the same members together: a group is what has one width. Groups come in the
  /// order of their first producer, channels in the order of its outputs. Channels that no layer
  /// makes (the network's input) are in no group.
  std::vector<ChannelGroup> groups(nn::Module& model) const;
};

/// Runs `model` in eval mode on `input` (one sample) and returns its channels. Nothing is changed.
/// Throws ShapeError unless the batch size is 1, and as nn::check_calls.
ChannelGraph trace_channels(nn::Module& model, const Variable& input);

/// One sample of shape `image` (C,H,W), in the type of the model's parameters, of normal numbers:
/// limits of clamps show only where values reach them.
Variable normal_sample(nn::Module& model, const Shape& image);

/// The groups of an image model with input (C,H,W).
std::vector<ChannelGroup> channel_groups(nn::Module& model, const Shape& image);

}  // namespace espalier::prune
