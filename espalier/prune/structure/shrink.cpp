// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/shrink.h>

#include <algorithm>
#include <map>

#include <espalier/prune/structure/flow_graph.h>
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

/// Whether nothing that is not zero leads from the network's input to an output.
bool is_cut(nn::Module& model, const Variable& input) {
  return trace_flow(model, input)
      .flow([](const nn::Parameter& parameter) {
        const std::vector<double> values = parameter.value.value().to_vector<double>();
        Tensor mask = Tensor::zeros(parameter.shape(), DType::U8);
        for (size_t i = 0; i < values.size(); ++i) mask.data<uint8_t>()[i] = values[i] != 0.0;
        return mask;
      })
      .cut;
}

/// No layer can have no channel: of one that would lose all beside a path that goes on (a block
/// beside its shortcut) one stays, of zeros. A padding shortcut of nothing is zero, which is what
/// it should be then.
void keep_one_of_each_layer(nn::Module& model,
                            const Variable& input,
                            const ChannelGraph& graph,
                            Choice& choice) {
  for (const LayerChannels& layer : graph.layers) {
    if (layer.module->channel_coupling().out.empty()) continue;
    for (const std::vector<int32_t>* channels : {&layer.in, &layer.out}) {
      if (channels->empty() || !listed_anew(*channels, choice.times).old.empty()) continue;
      ESPALIER_CHECK(!is_cut(model, input),
                     ValueError,
                     "shrink: layer collapse: no channel is left of ",
                     layer.name,
                     ". Keep at least one channel a layer (--min-per-layer 1)");
      choice.times[static_cast<size_t>(channels->front())] = 1;
      choice.notes.push_back(
          cat("1 channel of zeros stays: all of ", layer.name, " are, and a layer needs one"));
    }
  }
}

}  // namespace

ResizeReport shrink(nn::Module& model, const Variable& input, nn::Optimizer* optimizer) {
  const ChannelGraph graph = trace_channels(model, input);
  Choice choice = choose(model, graph);
  keep_one_of_each_layer(model, input, graph, choice);
  ResizeReport report = Rebuild(model, graph, choice.times, optimizer).apply();
  report.notes = std::move(choice.notes);
  return report;
}

}  // namespace espalier::prune
