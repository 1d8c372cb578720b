// SPDX-License-Identifier: Apache-2.0
/// Finding channel groups and their slices by name.
#pragma once

#include <string_view>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/prune/structure/channel_group.h>

namespace espalier::prune::testing {

inline ChannelGroup group(const std::vector<ChannelGroup>& groups, std::string_view name) {
  for (const ChannelGroup& one : groups) {
    if (one.name == name) return one;
  }
  throw ValueError(cat("no group is named ", name));
}

inline const GroupSlice& slice(const ChannelGroup& group, std::string_view name, int dim) {
  for (const GroupSlice& one : group.slices) {
    if (one.name == name && one.dim == dim) return one;
  }
  throw ValueError(cat("no slice of ", name));
}

}  // namespace espalier::prune::testing
