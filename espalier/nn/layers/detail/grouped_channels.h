// SPDX-License-Identifier: Apache-2.0
/// What the convolution layers share about channels in groups. Not a public interface.
#pragma once

#include <string>

#include <espalier/nn/module/module.h>

namespace espalier::nn::detail {

/// The channels of a convolution layer.
struct GroupedChannels {
  int64_t in = 0;
  int64_t out = 0;
  int64_t groups = 1;

  /// One channel in, one out: such a layer passes its channels through.
  bool depthwise() const { return groups > 1 && groups == in && groups == out; }
  /// `in_channels`, `out_channels`, `groups`.
  LayerSizes sizes() const;
  /// The same when only `kept` stay. Throws ValueError for channels that the layer does not have
  /// and for groups that would be of different sizes.
  LayerSizes sizes_keeping(const KeptChannels& kept, const std::string& layer) const;
  /// These, with those of `sizes` in their place. Throws ValueError naming `layer` for names that
  /// it does not have, sizes that are not positive and groups that don't divide them.
  GroupedChannels with(const LayerSizes& sizes, std::string_view layer) const;
};

}  // namespace espalier::nn::detail
