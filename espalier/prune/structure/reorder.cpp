// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/reorder.h>

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>

#include <espalier/prune/structure/cut.h>
#include <espalier/sparse/kernels/block_stream.h>

namespace espalier::prune {
namespace {

constexpr auto kBlock = size_t{sparse::detail::kBlockChannels};
constexpr int kMostPasses = 4;  // over all pairs of channels

void check_order(const ChannelGroup& group, const std::vector<int32_t>& order) {
  ESPALIER_CHECK(group.frozen_because.empty(),
                 ValueError,
                 "reorder_channels: ",
                 group.name,
                 " cannot change its order: ",
                 group.frozen_because);
  std::vector<int32_t> sorted = order;
  std::ranges::sort(sorted);
  std::vector<int32_t> all(static_cast<size_t>(group.channels));
  std::iota(all.begin(), all.end(), 0);
  ESPALIER_CHECK(sorted == all,
                 ValueError,
                 "reorder_channels: expects every channel of ",
                 group.name,
                 " (",
                 group.channels,
                 ") once, got ",
                 order.size(),
                 " numbers");
}

/// The old index of every new one along a slice. A channel with several entries (pixels after
/// flatten) keeps their order.
std::vector<int64_t> indices_of(const GroupSlice& slice, const std::vector<int32_t>& order) {
  std::vector<std::vector<int64_t>> entries(order.size());
  for (size_t i = 0; i < slice.channel_of.size(); ++i) {
    const int32_t c = slice.channel_of[i];
    if (c >= 0) entries[static_cast<size_t>(c)].push_back(static_cast<int64_t>(i));
  }
  std::vector<int64_t> indices;
  std::vector<size_t> next(order.size());
  for (size_t i = 0; i < slice.channel_of.size(); ++i) {
    const int32_t c = slice.channel_of[i];
    if (c < 0) {
      indices.push_back(static_cast<int64_t>(i));
      continue;
    }
    const std::vector<int64_t>& from = entries[static_cast<size_t>(order[static_cast<size_t>(c)])];
    size_t& n = next[static_cast<size_t>(c)];
    ESPALIER_CHECK(n < from.size(),
                   ValueError,
                   "reorder_channels: channels of ",
                   slice.name,
                   " have different numbers of entries");
    indices.push_back(from[n++]);
  }
  return indices;
}

/// Sets of positions, one bit each.
using Bits = std::vector<uint64_t>;

int64_t count(const Bits& bits) {
  int64_t sum = 0;
  for (const uint64_t word : bits) sum += std::popcount(word);
  return sum;
}

int64_t common(const Bits& a, const Bits& b) {
  int64_t sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::popcount(a[i] & b[i]);
  return sum;
}

/// Weights that the members of a block make the kernel multiply, of one channel.
int64_t united(const std::vector<Bits>& kept, const int32_t* members, size_t size) {
  int64_t sum = 0;
  for (size_t w = 0; w < kept[0].size(); ++w) {
    uint64_t word = 0;
    for (size_t i = 0; i < size; ++i) word |= kept[static_cast<size_t>(members[i])][w];
    sum += std::popcount(word);
  }
  return sum;
}

/// For each channel of a group, which weights its producers keep; empty when none has a mask.
std::vector<Bits> kept_of(const ChannelGroup& group,
                          const std::map<std::string, nn::Parameter*>& parameters) {
  std::vector<std::vector<uint8_t>> kept(static_cast<size_t>(group.channels));
  bool masked = false;
  for (const GroupSlice& slice : group.slices) {
    if (slice.role != SliceRole::Producer || slice.dim != 0 || slice.buffer) continue;
    const nn::Parameter& parameter = *parameters.at(slice.name);
    if (parameter.shape().rank() < 2 || !parameter.masked()) continue;
    masked = true;
    const uint8_t* mask = parameter.mask().data<uint8_t>();
    const int64_t filter = parameter.numel() / parameter.shape()[0];
    for (size_t i = 0; i < slice.channel_of.size(); ++i) {
      const int32_t c = slice.channel_of[i];
      if (c < 0) continue;
      const uint8_t* from = mask + static_cast<int64_t>(i) * filter;
      kept[static_cast<size_t>(c)].insert(kept[static_cast<size_t>(c)].end(), from, from + filter);
    }
  }
  std::vector<Bits> bits;
  if (!masked) return bits;
  for (const std::vector<uint8_t>& entries : kept) {
    Bits words((entries.size() + 63) / 64);
    for (size_t i = 0; i < entries.size(); ++i) {
      words[i / 64] |= static_cast<uint64_t>(entries[i] != 0) << (i % 64);
    }
    bits.push_back(std::move(words));
  }
  return bits;
}

/// Blocks one after another, each grown from the largest channel that is left.
std::vector<int32_t> grow_blocks(const std::vector<Bits>& kept) {
  std::vector<int32_t> left(kept.size());
  std::iota(left.begin(), left.end(), 0);
  std::ranges::stable_sort(
      left, std::greater<>(), [&](int32_t c) { return count(kept[static_cast<size_t>(c)]); });
  std::vector<int32_t> order;
  while (!left.empty()) {
    Bits block = kept[static_cast<size_t>(left.front())];
    order.push_back(left.front());
    left.erase(left.begin());
    for (size_t i = 1; i < kBlock && !left.empty(); ++i) {
      // What a channel shares with the block, less what it brings in.
      const auto gain = [&](int32_t c) {
        const Bits& own = kept[static_cast<size_t>(c)];
        return 2 * common(own, block) - count(own);
      };
      const auto best = std::ranges::max_element(left, {}, gain);
      const Bits& own = kept[static_cast<size_t>(*best)];
      for (size_t w = 0; w < block.size(); ++w) block[w] |= own[w];
      order.push_back(*best);
      left.erase(best);
    }
  }
  return order;
}

/// Exchanges channels between blocks while that makes the blocks' unions smaller.
void exchange(const std::vector<Bits>& kept, std::vector<int32_t>& order) {
  const auto block = [&](size_t at) {
    const size_t first = at / kBlock * kBlock;
    return united(kept, order.data() + first, std::min(kBlock, order.size() - first));
  };
  for (int pass = 0; pass < kMostPasses; ++pass) {
    bool improved = false;
    for (size_t a = 0; a < order.size(); ++a) {
      for (size_t b = (a / kBlock + 1) * kBlock; b < order.size(); ++b) {
        const int64_t before = block(a) + block(b);
        std::swap(order[a], order[b]);
        if (block(a) + block(b) < before) {
          improved = true;
        } else {
          std::swap(order[a], order[b]);
        }
      }
    }
    if (!improved) return;
  }
}

double fill_of(const nn::Parameter& parameter) {
  return sparse::detail::block_form(*parameter.support)->fill;
}

}  // namespace

void reorder_channels(nn::Module& model,
                      const std::vector<ChannelGroup>& groups,
                      const std::vector<std::vector<int32_t>>& orders,
                      nn::Optimizer* optimizer) {
  ESPALIER_CHECK(orders.size() == groups.size(),
                 ValueError,
                 "reorder_channels: expects an order per group, got ",
                 orders.size(),
                 " for ",
                 groups.size(),
                 " groups");
  // A tensor is cut once along each dimension, whichever groups share it.
  std::map<std::string, std::map<int, std::vector<std::vector<int64_t>>>> moves;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (orders[g].empty()) continue;
    check_order(groups[g], orders[g]);
    for (const GroupSlice& slice : groups[g].slices) {
      moves[slice.name][slice.dim].push_back(indices_of(slice, orders[g]));
    }
  }
  std::map<std::string, Cuts> cuts;
  for (const auto& [name, dims] : moves) {
    for (const auto& [dim, lists] : dims) {
      std::vector<int64_t>& indices = cuts[name][dim];
      indices.resize(lists.front().size());
      for (size_t i = 0; i < indices.size(); ++i) {
        indices[i] = static_cast<int64_t>(i);
        for (const std::vector<int64_t>& list : lists) {
          if (list[i] != static_cast<int64_t>(i)) indices[i] = list[i];
        }
      }
    }
  }
  std::vector<CutParameter> parameters;
  std::vector<std::pair<Tensor*, Tensor>> buffers;
  for (const nn::NamedParameter& named : model.named_parameters()) {
    const auto found = cuts.find(named.name);
    if (found != cuts.end()) parameters.emplace_back(named, found->second, optimizer);
  }
  for (const nn::NamedBuffer& named : model.named_buffers()) {
    const auto found = cuts.find(named.name);
    if (found != cuts.end()) buffers.emplace_back(named.buffer, cut(*named.buffer, found->second));
  }
  for (CutParameter& change : parameters) change.apply();
  for (auto& [buffer, tensor] : buffers) *buffer = tensor;
}

std::vector<BlockFill> gather_blocks(nn::Module& model,
                                     const Variable& input,
                                     nn::Optimizer* optimizer) {
  const std::vector<ChannelGroup> groups = trace_channels(model, input).groups(model);
  std::map<std::string, nn::Parameter*> parameters;
  std::vector<BlockFill> report;
  for (const nn::NamedParameter& named : model.named_parameters()) {
    parameters[named.name] = named.parameter;
    if (!named.parameter->masked() || named.parameter->shape().rank() < 2) continue;
    report.push_back({.name = named.name,
                      .density = static_cast<double>(named.parameter->nnz()) /
                                 static_cast<double>(named.parameter->numel()),
                      .before = fill_of(*named.parameter)});
  }
  std::vector<std::vector<int32_t>> orders(groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    if (!groups[g].frozen_because.empty()) continue;
    const std::vector<Bits> kept = kept_of(groups[g], parameters);
    if (kept.empty()) continue;
    orders[g] = grow_blocks(kept);
    exchange(kept, orders[g]);
  }
  reorder_channels(model, groups, orders, optimizer);
  for (BlockFill& weight : report) weight.after = fill_of(*parameters.at(weight.name));
  return report;
}

}  // namespace espalier::prune
