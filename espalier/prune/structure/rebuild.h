// SPDX-License-Identifier: Apache-2.0
/// A network whose channels are listed anew: some left out, some there several times. What
/// shrinking and widening have in common. Not a public interface.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <espalier/nn/train/optimizer.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/structure/cut.h>
#include <espalier/prune/structure/resize_report.h>

namespace espalier::prune {

/// By channel number of a graph, how many times the channel will be there; 0: not at all.
using Times = std::vector<int64_t>;

/// One dimension of a tensor, or the channels of a layer, after the change.
struct NewList {
  std::vector<int64_t> old;      ///< the old index of every new one
  std::vector<uint8_t> is_copy;  ///< 1 where an index comes again
};
/// The new list for `channels`, the channel number at every position. What follows one another of
/// one channel (its plane, after flatten) is repeated as a whole, each copy behind the one before.
NewList listed_anew(const std::vector<int32_t>& channels, const Times& times);
/// The same for a dimension with `repeat` entries a channel (nn::ChannelSlice).
NewList entries_of(const NewList& channels, int64_t repeat);

/// The change of one network.
class Rebuild {
 public:
  /// Makes all that is new; nothing of the model changes yet. `optimizer` may be null. Throws
  /// NotImplemented for a layer that can't change its sizes.
  Rebuild(nn::Module& model,
          const ChannelGraph& graph,
          const Times& times,
          nn::Optimizer* optimizer);
  /// Puts it in place: sizes, parameters (the same objects, with new tensors), masks (dropped where
  /// all of what is left is kept), buffers, slots of the optimizer. Gradients are dropped.
  ResizeReport apply();

 private:
  nn::Module& model_;
  ResizeReport report_;
  std::vector<std::pair<nn::Module*, nn::LayerSizes>> sizes_;
  std::vector<CutParameter> parameters_;
  std::vector<std::pair<Tensor*, Tensor>> buffers_;
};

}  // namespace espalier::prune
