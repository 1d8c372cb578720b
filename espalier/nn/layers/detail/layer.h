// SPDX-License-Identifier: Apache-2.0
/// Small helpers that layer files share. Not a public interface.
#pragma once

#include <string>
#include <string_view>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn::detail {

/// Throws ValueError naming layer and option when `value` is not positive.
inline void check_positive(int64_t value, std::string_view layer, std::string_view option) {
  ESPALIER_CHECK(value > 0, ValueError, layer, ": expects ", option, " > 0, got ", value);
}

/// A parameter of uninitialized float32.
inline Parameter new_parameter(const Shape& shape) {
  return Parameter(Tensor::empty(shape));
}

/// `3` or `3x5`.
inline std::string text(const Pair& pair) {
  return pair.h == pair.w ? cat(pair.h) : cat(pair.h, "x", pair.w);
}

/// Sets `option` to the entry `name` if it is there; returns whether it was.
inline bool take_size(const LayerSizes& sizes, const char* name, int64_t& option) {
  const auto found = sizes.find(name);
  if (found == sizes.end()) return false;
  option = found->second;
  return true;
}

/// Throws ValueError for a name in `sizes` that `known` does not have.
inline void check_size_names(const LayerSizes& sizes,
                             const LayerSizes& known,
                             std::string_view layer) {
  for (const auto& [name, size] : sizes) {
    ESPALIER_CHECK(
        known.contains(name), ValueError, "set_sizes: ", layer, " has no size '", name, "'");
  }
}

/// The number of kept channels; throws ValueError when in and out of a pass-through layer differ.
inline int64_t kept_both(const KeptChannels& kept, std::string_view layer) {
  ESPALIER_CHECK(kept.in == kept.out,
                 ValueError,
                 "sizes_keeping: ",
                 layer,
                 " passes its channels through; it can't keep ",
                 static_cast<int64_t>(kept.in.size()),
                 " inputs and ",
                 static_cast<int64_t>(kept.out.size()),
                 " other outputs");
  return static_cast<int64_t>(kept.in.size());
}

}  // namespace espalier::nn::detail
