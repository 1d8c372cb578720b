// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include <espalier/prune/structure/shrink.h>

namespace espalier::prune {
namespace {

/// Sets the mask to 0 where the index along the slice's dimension belongs to a removed channel.
void clear(Tensor& mask, const GroupSlice& slice, const std::vector<uint8_t>& keep) {
  int64_t inner = 1;
  for (int d = slice.dim + 1; d < mask.rank(); ++d) inner *= mask.size(d);
  const int64_t size = mask.size(slice.dim);
  uint8_t* data = mask.data<uint8_t>();
  for (int64_t i = 0; i < mask.numel(); ++i) {
    const int32_t channel = slice.channel_of[static_cast<size_t>(i / inner % size)];
    if (channel >= 0 && keep[static_cast<size_t>(channel)] == 0) data[i] = 0;
  }
}

}  // namespace

void mask_channels(nn::Module& model,
                   const std::vector<ChannelGroup>& groups,
                   const std::vector<std::vector<uint8_t>>& keep) {
  ESPALIER_CHECK(keep.size() == groups.size(),
                 ValueError,
                 "mask_channels: expects a list per group, got ",
                 keep.size(),
                 " for ",
                 groups.size(),
                 " groups");
  std::map<std::string, Tensor> masks;
  for (size_t g = 0; g < groups.size(); ++g) {
    const ChannelGroup& group = groups[g];
    ESPALIER_CHECK(static_cast<int64_t>(keep[g].size()) == group.channels,
                   ValueError,
                   "mask_channels: ",
                   group.name,
                   " has ",
                   group.channels,
                   " channels, got ",
                   keep[g].size());
    if (std::ranges::all_of(keep[g], [](uint8_t k) { return k != 0; })) continue;
    ESPALIER_CHECK(group.frozen_because.empty(),
                   ValueError,
                   "mask_channels: channels of ",
                   group.name,
                   " can't be removed: ",
                   group.frozen_because);
    for (const GroupSlice& slice : group.slices) {
      if (slice.buffer) continue;
      auto [mask, added] = masks.try_emplace(slice.name);
      if (added) {
        const nn::Parameter& parameter = model.parameter(slice.name);
        mask->second = parameter.masked() ? parameter.mask().clone()
                                          : Tensor::ones(parameter.shape(), DType::U8);
      }
      clear(mask->second, slice, keep[g]);
    }
  }
  for (const auto& [name, mask] : masks) model.parameter(name).set_mask(mask);
}

}  // namespace espalier::prune
