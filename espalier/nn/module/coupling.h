// SPDX-License-Identifier: Apache-2.0
/// How the channels of a layer are tied to dimensions of its parameters and buffers, the one thing
/// that structured pruning, shrinking and MAC counting read; no other file switches on layer types.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace espalier::nn {

/// Dimension `dim` of the member `name` has `repeat` consecutive entries for each channel (for a
/// linear layer after flatten, `repeat` is the number of pixels of a plane).
struct ChannelSlice {
  std::string name;    ///< of the parameter or buffer
  int dim = 0;         ///< dimension that is cut
  int64_t repeat = 1;  ///< consecutive entries a channel
};

/// Everything that must be cut when one input or output channel goes.
struct ChannelCoupling {
  std::vector<ChannelSlice> in = {};   ///< what goes with an input channel
  std::vector<ChannelSlice> out = {};  ///< what goes with an output channel
  /// Weights that sum over channels inside of the layer (a recurrent layer's hidden units): single
  /// entries of them may be pruned, channels not.
  std::vector<ChannelSlice> inner = {};
  /// Input channel i and output channel i are the same channel (batch norm, depthwise,
  /// activations).
  bool passes_through = false;
  /// Channels move only in whole groups (grouped convolution); 1 otherwise.
  int64_t groups = 1;
  /// The weight multiplies at every position of the input, not of the output, and its rows are the
  /// input's channels (transposed convolution).
  bool transposed = false;
  /// Channels are dimension 1 of the activations whatever their rank (N,C,L); else of planes, and
  /// the last dimension of all others.
  bool channels_first = false;
  /// Why channels of this layer can't be removed one by one, although they are named above: for
  /// example "layer norm takes its mean over the channels". Empty when they can.
  std::string frozen_because = {};

  /// True of layers: they have input or output channels of their own.
  bool has_channels() const { return !in.empty() || !out.empty(); }
};

/// Which channels a layer will have, as indices into the present ones, ascending; one that comes
/// again is a copy.
struct KeptChannels {
  std::vector<int64_t> in;   ///< input channels
  std::vector<int64_t> out;  ///< output channels
};

/// Numbers that a layer must know to be rebuilt at another width, by name: `in_channels`, `groups`,
/// ..
using LayerSizes = std::map<std::string, int64_t>;

}  // namespace espalier::nn
