// SPDX-License-Identifier: Apache-2.0
/// What shrinking or widening did to the sizes of a network.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier::prune {

/// One layer before and after.
struct ResizedLayer {
  std::string name;        ///< dotted
  int64_t in_before = 0;   ///< input channels before
  int64_t in = 0;          ///< input channels now
  int64_t out_before = 0;  ///< output channels before
  int64_t out = 0;         ///< output channels now
};

/// The whole network.
struct ResizeReport {
  std::vector<ResizedLayer> layers;  ///< all layers with channels, also those that stayed
  int64_t params_before = 0;         ///< entries of all parameters before
  int64_t params = 0;                ///< the same now
  int64_t channels_before = 0;       ///< independent channels that layers make
  int64_t channels = 0;              ///< the same now
  /// Why channels stayed that might have changed: a norm that shifts them, a frozen group.
  std::vector<std::string> notes;
};

}  // namespace espalier::prune
