// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/shrink.h>

#include <algorithm>
#include <map>

#include <espalier/prune/structure/rebuild.h>

namespace espalier::prune {
namespace {

std::string member_name(const std::string& layer, const std::string& member) {
  return layer.empty() ? member : layer + "." + member;
}

/// For every index along `dim`, whether all entries are zero.
std::vector<uint8_t> zero_slices(const Tensor& tensor, int dim) {
  const std::vector<double> values = tensor.to_vector<double>();
  int64_t inner = 1;
  for (int d = dim + 1; d < tensor.rank(); ++d) inner *= tensor.size(d);
  std::vector<uint8_t> zero(static_cast<size_t>(tensor.size(dim)), 1);
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] != 0.0) {
      zero[static_cast<size_t>(static_cast<int64_t>(i) / inner % tensor.size(dim))] = 0;
    }
  }
  return zero;
}

/// Which channels are kept (once), and why some with zero filters are.
struct Choice {
  Times times;
  std::vector<std::string> notes;
};

Choice choose(nn::Module& model, const ChannelGraph& graph) {
  const auto count = static_cast<size_t>(graph.channels());
  Choice choice{Times(count, 0), {}};
  std::map<std::string, nn::Parameter*> parameters;
  for (const nn::NamedParameter& p : model.named_parameters()) parameters[p.name] = p.parameter;
  std::vector<uint8_t> made(count, 0);      // some layer produces it
  std::vector<uint8_t> alive(count, 0);     // some producer's filter is not zero
  std::vector<std::string> shifted(count);  // the first follower or bias that is not zero
  for (const LayerChannels& layer : graph.layers) {
    if (layer.gates) continue;  // zero times anything
    const nn::ChannelCoupling coupling = layer.module->channel_coupling();
    for (const nn::ChannelSlice& member : coupling.out) {
      const std::string name = member_name(layer.name, member.name);
      const auto found = parameters.find(name);
      if (found == parameters.end()) continue;  // a buffer
      const Tensor& value = found->second->value.value();
      const std::vector<uint8_t> zero = zero_slices(value, member.dim);
      const bool filter = !coupling.passes_through && value.rank() >= 2;
      for (size_t i = 0; i < zero.size(); ++i) {
        const auto c = static_cast<size_t>(layer.out[i / static_cast<size_t>(member.repeat)]);
        if (!coupling.passes_through) made[c] = 1;
        if (zero[i] != 0) continue;
        if (filter) {
          alive[c] = 1;
        } else if (shifted[c].empty()) {
          shifted[c] = name;
        }
      }
    }
  }
  std::map<std::string, int64_t> reasons;
  for (size_t c = 0; c < count; ++c) {
    const bool zero = made[c] != 0 && alive[c] == 0;
    const bool stays = !zero || !shifted[c].empty() || !graph.frozen_because[c].empty();
    choice.times[c] = stays ? 1 : 0;
    if (!zero || !stays) continue;
    ++reasons[!graph.frozen_because[c].empty() ? graph.frozen_because[c]
                                               : cat(shifted[c], " is not zero there")];
  }
  for (const auto& [reason, channels] : reasons) {
    choice.notes.push_back(cat(channels,
                               channels == 1 ? " channel with a zero filter stays: "
                                             : " channels with zero filters stay: ",
                               reason));
  }
  return choice;
}

void check_not_empty(const LayerChannels& layer, const Times& times) {
  const auto emptied = [&](const std::vector<int32_t>& channels) {
    return !channels.empty() && listed_anew(channels, times).old.empty();
  };
  // A padding shortcut of nothing is zero, which is what it should be then.
  ESPALIER_CHECK(
      !(emptied(layer.in) || emptied(layer.out)) || layer.module->channel_coupling().out.empty(),
      ValueError,
      "shrink: layer collapse: no channel is left of ",
      layer.name,
      ". Keep at least one channel a layer (--min-per-layer 1)");
}

}  // namespace

ResizeReport shrink(nn::Module& model, const Variable& input, nn::Optimizer* optimizer) {
  const ChannelGraph graph = trace_channels(model, input);
  Choice choice = choose(model, graph);
  for (const LayerChannels& layer : graph.layers) check_not_empty(layer, choice.times);
  ResizeReport report = Rebuild(model, graph, choice.times, optimizer).apply();
  report.notes = std::move(choice.notes);
  return report;
}

}  // namespace espalier::prune
