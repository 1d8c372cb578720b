// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/rebuild.h>

#include <map>
#include <set>

namespace espalier::prune {
namespace {

std::string member_name(const std::string& layer, const std::string& member) {
  return layer.empty() ? member : layer + "." + member;
}

void add_cuts(const std::string& layer,
              const std::vector<nn::ChannelSlice>& members,
              const NewList& channels,
              std::map<std::string, Cuts>& cuts) {
  for (const nn::ChannelSlice& member : members) {
    cuts[member_name(layer, member.name)][member.dim] = entries_of(channels, member.repeat).old;
  }
}

/// Independent channels that layers make, now and after.
void count_channels(const ChannelGraph& graph, const Times& times, ResizeReport& report) {
  std::set<int32_t> made;
  for (const LayerChannels& layer : graph.layers) {
    const nn::ChannelCoupling coupling = layer.module->channel_coupling();
    if (layer.gates || coupling.passes_through || coupling.out.empty()) continue;
    made.insert(layer.out.begin(), layer.out.end());
  }
  report.channels_before = static_cast<int64_t>(made.size());
  for (const int32_t channel : made) report.channels += times[static_cast<size_t>(channel)];
}

}  // namespace

NewList listed_anew(const std::vector<int32_t>& channels, const Times& times) {
  NewList list;
  for (size_t begin = 0; begin < channels.size();) {
    size_t end = begin + 1;
    while (end < channels.size() && channels[end] == channels[begin]) ++end;
    for (int64_t t = 0; t < times[static_cast<size_t>(channels[begin])]; ++t) {
      for (size_t i = begin; i < end; ++i) {
        list.old.push_back(static_cast<int64_t>(i));
        list.is_copy.push_back(t > 0 ? 1 : 0);
      }
    }
    begin = end;
  }
  return list;
}

NewList entries_of(const NewList& channels, int64_t repeat) {
  NewList list;
  for (size_t i = 0; i < channels.old.size(); ++i) {
    for (int64_t r = 0; r < repeat; ++r) {
      list.old.push_back(channels.old[i] * repeat + r);
      list.is_copy.push_back(channels.is_copy[i]);
    }
  }
  return list;
}

Rebuild::Rebuild(nn::Module& model,
                 const ChannelGraph& graph,
                 const Times& times,
                 nn::Optimizer* optimizer)
    : model_(model) {
  count_channels(graph, times, report_);
  std::map<std::string, Cuts> cuts;
  for (const LayerChannels& layer : graph.layers) {
    const NewList in = listed_anew(layer.in, times);
    const NewList out = listed_anew(layer.out, times);
    report_.layers.push_back({layer.name,
                              static_cast<int64_t>(layer.in.size()),
                              static_cast<int64_t>(in.old.size()),
                              static_cast<int64_t>(layer.out.size()),
                              static_cast<int64_t>(out.old.size())});
    if (in.old.size() == layer.in.size() && out.old.size() == layer.out.size()) continue;
    sizes_.emplace_back(layer.module, layer.module->sizes_keeping({in.old, out.old}));
    const nn::ChannelCoupling coupling = layer.module->channel_coupling();
    add_cuts(layer.name, coupling.out, out, cuts);
    if (!coupling.passes_through) add_cuts(layer.name, coupling.in, in, cuts);
  }
  for (const nn::NamedParameter& named : model.named_parameters()) {
    report_.params_before += named.parameter->numel();
    const auto found = cuts.find(named.name);
    if (found != cuts.end()) parameters_.emplace_back(named, found->second, optimizer);
  }
  for (const nn::NamedBuffer& named : model.named_buffers()) {
    const auto found = cuts.find(named.name);
    if (found != cuts.end()) buffers_.emplace_back(named.buffer, cut(*named.buffer, found->second));
  }
}

ResizeReport Rebuild::apply() {
  for (const auto& [module, sizes] : sizes_) module->set_sizes(sizes);
  for (CutParameter& change : parameters_) change.apply();
  for (auto& [buffer, tensor] : buffers_) *buffer = tensor;
  for (const nn::NamedParameter& named : model_.named_parameters()) {
    report_.params += named.parameter->numel();
    named.parameter->value.zero_grad();
  }
  return report_;
}

}  // namespace espalier::prune
