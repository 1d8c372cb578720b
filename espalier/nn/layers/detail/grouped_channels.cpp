// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/layers/detail/grouped_channels.h>

#include <set>
#include <utility>
#include <vector>

#include <espalier/nn/layers/detail/layer.h>

namespace espalier::nn::detail {
namespace {

// How many of `channels` lie in each of `groups` equal ranges of 0..total-1.
std::vector<int64_t> kept_per_group(const std::vector<int64_t>& channels,
                                    int64_t total,
                                    int64_t groups,
                                    const std::string& layer) {
  std::vector<int64_t> counts(static_cast<size_t>(groups), 0);
  for (const int64_t c : channels) {
    ESPALIER_CHECK(c >= 0 && c < total,
                   ValueError,
                   "sizes_keeping: ",
                   layer,
                   " has ",
                   total,
                   " channels, got channel ",
                   c);
    ++counts[static_cast<size_t>(c / (total / groups))];
  }
  return counts;
}

}  // namespace

LayerSizes GroupedChannels::sizes() const {
  return {{"in_channels", in}, {"out_channels", out}, {"groups", groups}};
}

LayerSizes GroupedChannels::sizes_keeping(const KeptChannels& kept,
                                          const std::string& layer) const {
  // Of a depthwise convolution a channel that comes again is one more group.
  if (depthwise()) {
    const int64_t channels = kept_both(kept, layer);
    return GroupedChannels{channels, channels, channels}.sizes();
  }
  const std::vector<int64_t> ins = kept_per_group(kept.in, in, groups, layer);
  const std::vector<int64_t> outs = kept_per_group(kept.out, out, groups, layer);
  int64_t stay = 0;
  std::set<std::pair<int64_t, int64_t>> sizes_of_groups;
  for (size_t g = 0; g < ins.size(); ++g) {
    if (ins[g] == 0 && outs[g] == 0) continue;
    ++stay;
    sizes_of_groups.emplace(ins[g], outs[g]);
  }
  ESPALIER_CHECK(stay == 0 || sizes_of_groups.size() == 1,
                 ValueError,
                 "sizes_keeping: ",
                 layer,
                 " must keep equally many channels in each group that stays");
  return GroupedChannels{
      static_cast<int64_t>(kept.in.size()), static_cast<int64_t>(kept.out.size()), stay}
      .sizes();
}

GroupedChannels GroupedChannels::with(const LayerSizes& sizes, std::string_view layer) const {
  check_size_names(sizes, this->sizes(), layer);
  GroupedChannels c = *this;
  take_size(sizes, "in_channels", c.in);
  take_size(sizes, "out_channels", c.out);
  take_size(sizes, "groups", c.groups);
  check_positive(c.in, layer, "in_channels");
  check_positive(c.out, layer, "out_channels");
  check_positive(c.groups, layer, "groups");
  ESPALIER_CHECK(c.in % c.groups == 0 && c.out % c.groups == 0,
                 ValueError,
                 layer,
                 ": expects groups that divide the channels, got ",
                 c.groups,
                 " groups for ",
                 c.in,
                 " in-channels and ",
                 c.out,
                 " out-channels");
  return c;
}

}  // namespace espalier::nn::detail
