// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/shrink.h>

#include <algorithm>
#include <map>

#include <espalier/prune/structure/cut.h>

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

/// Where channels are kept, by channel number, and why some with zero filters are.
struct Choice {
  std::vector<uint8_t> keep;
  std::vector<uint8_t> made;  // some layer produces it
  std::vector<std::string> notes;
};

Choice choose(nn::Module& model, const ChannelGraph& graph) {
  const auto count = static_cast<size_t>(graph.channels());
  Choice choice{std::vector<uint8_t>(count, 0), std::vector<uint8_t>(count, 0), {}};
  std::map<std::string, nn::Parameter*> parameters;
  for (const nn::NamedParameter& p : model.named_parameters()) parameters[p.name] = p.parameter;
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
        if (!coupling.passes_through) choice.made[c] = 1;
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
    const bool zero = choice.made[c] != 0 && alive[c] == 0;
    const bool stays = !zero || !shifted[c].empty() || !graph.frozen_because[c].empty();
    choice.keep[c] = stays ? 1 : 0;
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

std::vector<int64_t> kept_of(const std::vector<int32_t>& channels,
                             const std::vector<uint8_t>& keep) {
  std::vector<int64_t> kept;
  for (size_t i = 0; i < channels.size(); ++i) {
    if (keep[static_cast<size_t>(channels[i])] != 0) kept.push_back(static_cast<int64_t>(i));
  }
  return kept;
}

std::vector<int64_t> repeated(const std::vector<int64_t>& kept, int64_t repeat) {
  if (repeat == 1) return kept;
  std::vector<int64_t> result;
  for (const int64_t index : kept) {
    for (int64_t r = 0; r < repeat; ++r) result.push_back(index * repeat + r);
  }
  return result;
}

/// Everything that a layer becomes.
struct NewLayer {
  nn::Module* module = nullptr;
  nn::LayerSizes sizes;
  std::map<std::string, Cuts> cuts;  // by dotted member name
};

NewLayer plan_layer(const LayerChannels& layer, const nn::KeptChannels& kept) {
  NewLayer plan{layer.module, layer.module->sizes_keeping(kept), {}};
  const nn::ChannelCoupling coupling = layer.module->channel_coupling();
  for (const nn::ChannelSlice& member : coupling.out) {
    plan.cuts[member_name(layer.name, member.name)][member.dim] = repeated(kept.out, member.repeat);
  }
  if (!coupling.passes_through) {
    for (const nn::ChannelSlice& member : coupling.in) {
      plan.cuts[member_name(layer.name, member.name)][member.dim] =
          repeated(kept.in, member.repeat);
    }
  }
  return plan;
}

void check_not_empty(const LayerChannels& layer, const nn::KeptChannels& kept) {
  const bool emptied =
      (kept.in.empty() && !layer.in.empty()) || (kept.out.empty() && !layer.out.empty());
  // A padding shortcut of nothing is zero, which is what it should be then.
  ESPALIER_CHECK(!emptied || layer.module->channel_coupling().out.empty(),
                 ValueError,
                 "shrink: layer collapse: no channel is left of ",
                 layer.name,
                 ". Keep at least one channel a layer (--min-per-layer 1)");
}

}  // namespace

ShrinkReport shrink(nn::Module& model, const Variable& input, nn::Optimizer* optimizer) {
  const ChannelGraph graph = trace_channels(model, input);
  Choice choice = choose(model, graph);
  ShrinkReport report;
  report.notes = std::move(choice.notes);
  for (size_t c = 0; c < choice.made.size(); ++c) {
    report.channels_before += choice.made[c];
    report.channels += choice.made[c] & choice.keep[c];
  }

  // First everything that may throw ..
  std::vector<NewLayer> layers;
  std::map<std::string, Cuts> cuts;
  for (const LayerChannels& layer : graph.layers) {
    const nn::KeptChannels kept{kept_of(layer.in, choice.keep), kept_of(layer.out, choice.keep)};
    check_not_empty(layer, kept);
    report.layers.push_back({layer.name,
                             static_cast<int64_t>(layer.in.size()),
                             static_cast<int64_t>(kept.in.size()),
                             static_cast<int64_t>(layer.out.size()),
                             static_cast<int64_t>(kept.out.size())});
    if (kept.in.size() == layer.in.size() && kept.out.size() == layer.out.size()) continue;
    layers.push_back(plan_layer(layer, kept));
    cuts.insert(layers.back().cuts.begin(), layers.back().cuts.end());
  }
  std::vector<CutParameter> parameters;
  std::vector<std::pair<Tensor*, Tensor>> buffers;
  for (const nn::NamedParameter& named : model.named_parameters()) {
    report.params_before += named.parameter->numel();
    const auto found = cuts.find(named.name);
    if (found != cuts.end()) parameters.emplace_back(named, found->second, optimizer);
  }
  for (const nn::NamedBuffer& named : model.named_buffers()) {
    const auto found = cuts.find(named.name);
    if (found != cuts.end()) buffers.emplace_back(named.buffer, cut(*named.buffer, found->second));
  }

  // .. then the change itself.
  for (const NewLayer& layer : layers) layer.module->set_sizes(layer.sizes);
  for (CutParameter& change : parameters) change.apply();
  for (auto& [buffer, tensor] : buffers) *buffer = tensor;
  for (const nn::NamedParameter& named : model.named_parameters()) {
    report.params += named.parameter->numel();
    named.parameter->value.zero_grad();
  }
  return report;
}

}  // namespace espalier::prune
