// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/channel_graph.h>

#include <map>
#include <set>
#include <tuple>

#include <espalier/nn/gates/attach.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/introspect/samples.h>
#include <espalier/prune/structure/channel_reader.h>

namespace espalier::prune {
namespace {

std::string member_name(const std::string& layer, const std::string& member) {
  return layer.empty() ? member : layer + "." + member;
}

/// A slice in the making: the channel number of every index along its dimension.
struct Slice {
  std::string name;
  int dim = 0;
  SliceRole role = SliceRole::Producer;
  std::vector<int32_t> channels;
};

void add_slices(const std::string& layer,
                const std::vector<nn::ChannelSlice>& members,
                const std::vector<int32_t>& channels,
                SliceRole role,
                std::vector<Slice>& slices) {
  for (const nn::ChannelSlice& member : members) {
    Slice slice{member_name(layer, member.name), member.dim, role, {}};
    for (const int32_t channel : channels) {
      slice.channels.insert(slice.channels.end(), static_cast<size_t>(member.repeat), channel);
    }
    slices.push_back(std::move(slice));
  }
}

std::vector<Slice> all_slices(const std::vector<LayerChannels>& layers) {
  std::vector<Slice> slices;
  for (const LayerChannels& layer : layers) {
    const nn::ChannelCoupling coupling = layer.module->channel_coupling();
    if (coupling.passes_through) {
      add_slices(layer.name, coupling.out, layer.out, SliceRole::Follower, slices);
    } else {
      const SliceRole role = layer.gates ? SliceRole::Follower : SliceRole::Producer;
      add_slices(layer.name, coupling.out, layer.out, role, slices);
      add_slices(layer.name, coupling.in, layer.in, SliceRole::Consumer, slices);
    }
  }
  return slices;
}

}  // namespace

std::vector<ChannelGroup> ChannelGraph::groups(nn::Module& model) const {
  std::set<std::string> buffers;
  for (const nn::NamedBuffer& buffer : model.named_buffers()) buffers.insert(buffer.name);
  const std::vector<Slice> slices = all_slices(layers);

  // Members of every channel, as indices of slices, and its place in the order of first producers.
  const auto count = static_cast<size_t>(channels());
  std::vector<std::set<size_t>> members(count);
  std::vector<std::pair<size_t, size_t>> place(count, {slices.size(), 0});
  for (size_t s = 0; s < slices.size(); ++s) {
    for (size_t i = 0; i < slices[s].channels.size(); ++i) {
      const auto c = static_cast<size_t>(slices[s].channels[i]);
      members[c].insert(s);
      if (slices[s].role == SliceRole::Producer && place[c].first == slices.size())
        place[c] = {s, i};
    }
  }

  // Channels with equal members and an equal reason are one group.
  using Signature = std::pair<std::set<size_t>, std::string>;
  std::map<Signature, std::map<std::pair<size_t, size_t>, int32_t>> grouped;
  for (size_t c = 0; c < count; ++c) {
    if (place[c].first == slices.size()) continue;
    grouped[{members[c], frozen_because[c]}].emplace(place[c], static_cast<int32_t>(c));
  }

  std::map<std::pair<size_t, size_t>, ChannelGroup> ordered;
  for (const auto& [signature, ordered_channels] : grouped) {
    ChannelGroup group;
    group.name = slices[ordered_channels.begin()->first.first].name;
    group.channels = static_cast<int64_t>(ordered_channels.size());
    group.frozen_because = signature.second;
    std::map<int32_t, int32_t> position;
    for (const auto& [where, channel] : ordered_channels) {
      position.emplace(channel, static_cast<int32_t>(position.size()));
      group.numbers.push_back(channel);
    }
    for (const size_t s : signature.first) {
      const Slice& slice = slices[s];
      GroupSlice result{slice.name, buffers.contains(slice.name), slice.role, slice.dim, {}};
      for (const int32_t channel : slice.channels) {
        const auto found = position.find(channel);
        result.channel_of.push_back(found == position.end() ? -1 : found->second);
      }
      group.slices.push_back(std::move(result));
    }
    ordered.emplace(ordered_channels.begin()->first, std::move(group));
  }
  std::vector<ChannelGroup> result;
  for (auto& [where, group] : ordered) result.push_back(std::move(group));
  return result;
}

ChannelGraph trace_channels(nn::Module& model, const Variable& input) {
  ESPALIER_CHECK(input.rank() >= 1 && input.size(0) == 1,
                 ShapeError,
                 "trace_channels: expects one sample, got ",
                 input.value());
  ESPALIER_CHECK(!nn::is_gated(model),
                 NotImplemented,
                 "trace_channels: the network has gates, which read and write its channels too");
  const nn::NetworkGraph network = nn::trace_network(model, input);
  nn::check_calls(model, network);
  ChannelReader reader(network);
  // Numbers become dense, in the order of the layers.
  ChannelGraph graph;
  std::map<int32_t, int32_t> numbers;
  const auto dense = [&](const std::vector<int32_t>& labels) {
    std::vector<int32_t> result;
    for (const int32_t label : labels) {
      const int32_t root = reader.labels.find(label);
      const auto [entry, added] = numbers.emplace(root, static_cast<int32_t>(numbers.size()));
      if (added) graph.frozen_because.push_back(reader.labels.reason(root));
      result.push_back(entry->second);
    }
    return result;
  };
  for (const ReadLayer& layer : reader.layers) {
    graph.layers.push_back(
        {layer.name, layer.module, dense(layer.in), dense(layer.out), layer.gates});
  }
  return graph;
}

Variable normal_sample(nn::Module& model, const Shape& image) {
  Tensor input = nn::zero_samples(model, image);
  if (input.dtype() != DType::F32) return Variable(input);
  Rng rng(0, "channel_groups");
  fill_normal_(input, rng);
  const std::vector<nn::NamedParameter> parameters = model.named_parameters();
  return Variable(parameters.empty() ? input
                                     : input.to(parameters.front().parameter->value.dtype()));
}

std::vector<ChannelGroup> channel_groups(nn::Module& model, const Shape& image) {
  return trace_channels(model, normal_sample(model, image)).groups(model);
}

}  // namespace espalier::prune
