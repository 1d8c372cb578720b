// SPDX-License-Identifier: Apache-2.0
/// ChannelGroup: channels of a network that can only go together, and every slice of every member
/// that goes with each of them. Plain data: structure/ finds the groups, pruners choose, shrinking
/// cuts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier::prune {

/// What a slice does with the channel.
enum class SliceRole : uint8_t {
  Producer,  ///< makes it: a convolution's or linear layer's filter, and its bias
  Follower,  ///< works on it alone: batch norm's scale and shift, a depthwise filter, a gate's row
  Consumer,  ///< reads it: the next layer's input slice
};

/// The part of one parameter or buffer that belongs to the channels of a group.
struct GroupSlice {
  std::string name;                      ///< dotted name of the parameter or buffer
  bool buffer = false;                   ///< of a buffer, not of a parameter
  SliceRole role = SliceRole::Producer;  ///< what the slice does with the channel
  int dim = 0;                           ///< dimension that is cut
  /// For every index along `dim`: its channel of the group, or -1 (of another group, as after a
  /// concat).
  std::vector<int32_t> channel_of;
};

/// Channels 0 .. channels-1, each tied through all slices.
struct ChannelGroup {
  std::string name;                ///< of the first producer's weight
  int64_t channels = 0;            ///< independent channels
  std::vector<GroupSlice> slices;  ///< what is cut together
  /// Why no channel of the group may go (`output of the network`, an op that is not known); empty
  /// if they may.
  std::string frozen_because;
  std::vector<int32_t> numbers = {};  ///< of its channels, in the graph that it was read from
};

}  // namespace espalier::prune
