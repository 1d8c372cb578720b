// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/channel_reader.h>

namespace espalier::prune {

int channel_dim(const Shape& shape, const nn::ChannelCoupling& coupling) {
  return coupling.channels_first ? 1 : channel_dim(shape);
}

int channel_dim(const Shape& shape) {
  return shape.rank() == 4 ? 1 : shape.rank() - 1;
}

int64_t channel_of(const Shape& shape, int dim, int64_t element) {
  int64_t inner = 1;
  for (int d = dim + 1; d < shape.rank(); ++d) inner *= shape[d];
  return element / inner % shape[dim];
}

ChannelReader::ChannelReader(const nn::NetworkGraph& graph) : graph_(graph) {
  const std::vector<nn::GraphStep> steps =
      graph.steps([](const nn::GraphCall& call) { return call.is_layer(); });
  read_input();
  for (const nn::GraphStep& step : steps) {
    if (step.op >= 0) {
      read_op(graph.op(step.op));
    } else {
      read_call(graph.call(step.call));
    }
  }
  find_readers(steps);
  for (const nn::GraphStep& step : steps) {
    if (step.call < 0 || !graph.call(step.call).is_layer()) continue;
    ReadLayer& layer = layer_of(graph.call(step.call));
    layer.gates = layer.gates && only_gates(graph.call(step.call).output);
  }
  if (const LabelledValue* value = find(graph.output)) freeze(*value, "output of the network");
}

void ChannelReader::read_input() {
  const Shape& shape = shape_of(graph_.input);
  const int dim = channel_dim(shape);
  std::vector<int32_t> channels;
  for (int64_t c = 0; c < shape[dim]; ++c) {
    channels.push_back(labels.fresh());
    labels.freeze(channels.back(), "input of the network");
  }
  store(graph_.input, spread(shape, channels, dim));
}

const LabelledValue* ChannelReader::find(int value) const {
  const auto found = values_.find(value);
  return found == values_.end() ? nullptr : &found->second;
}

void ChannelReader::freeze(const LabelledValue& value, const std::string& reason) {
  for (const int32_t label : value.labels) labels.freeze(label, reason);
}

std::vector<int32_t> ChannelReader::per_channel(const LabelledValue& value, int dim) {
  std::vector<int32_t> channels(static_cast<size_t>(value.shape[dim]), kNoLabel);
  for (int64_t i = 0; i < value.shape.numel(); ++i) {
    int32_t& channel = channels[static_cast<size_t>(channel_of(value.shape, dim, i))];
    const int32_t label = value.labels[static_cast<size_t>(i)];
    channel = channel == kNoLabel ? labels.find(label) : labels.merge(channel, label);
  }
  return channels;
}

LabelledValue ChannelReader::spread(const Shape& shape,
                                    const std::vector<int32_t>& channels,
                                    int dim) {
  LabelledValue value{shape, {}, true};
  for (int64_t i = 0; i < shape.numel(); ++i) {
    value.labels.push_back(channels[static_cast<size_t>(channel_of(shape, dim, i))]);
  }
  return value;
}

void ChannelReader::read_call(const nn::GraphCall& call) {
  for (const int other : call.others) {
    if (const LabelledValue* value = find(other)) {
      freeze(*value, cat(call.module->describe(), " reads it beside its input"));
    }
  }
  if (call.is_layer()) {
    read_layer(call);
    return;
  }
  // Modules without parameters whose sizes depend on channels all the same (a padding shortcut).
  if (call.module->sizes().empty()) return;
  const LabelledValue* in = find(call.input);
  const LabelledValue* out = find(call.output);
  if (in == nullptr || out == nullptr) return;
  ReadLayer& layer = layer_of(call);
  layer.in = per_channel(*in, channel_dim(in->shape));
  layer.out = per_channel(*out, channel_dim(out->shape));
}

ReadLayer& ChannelReader::layer_of(const nn::GraphCall& call) {
  const auto [entry, added] = index_.emplace(call.module, layers.size());
  if (added) {
    ESPALIER_CHECK(call.named,
                   ValueError,
                   "trace_channels: the model calls ",
                   call.module->describe(),
                   ", which its visit() does not name");
    layers.push_back({call.name, call.module, {}, {}});
  }
  return layers[entry->second];
}

void ChannelReader::read_layer(const nn::GraphCall& call) {
  const nn::ChannelCoupling coupling = call.module->channel_coupling();
  const Shape& shape = shape_of(call.output);
  const int dim = channel_dim(shape, coupling);
  ReadLayer& layer = layer_of(call);
  // A depthwise convolution may change the size of its planes, but not their number.
  bool known = true;

  if (!coupling.in.empty()) {
    const LabelledValue* value = find(call.input);
    LabelledValue unknown;
    if (value == nullptr) {
      unknown = frozen(
          cat(layer.name, " reads values whose origin is not known"), shape_of(call.input), {});
      value = &unknown;
    }
    const std::vector<int32_t> in = per_channel(*value, channel_dim(value->shape, coupling));
    known = !coupling.passes_through || static_cast<int64_t>(in.size()) == shape[dim];
    for (size_t c = 0; c < in.size(); ++c) {
      if (c < layer.in.size()) labels.merge(layer.in[c], in[c]);  // a shared layer's further use
      if (!coupling.frozen_because.empty()) {
        labels.freeze(in[c], cat(layer.name, ": ", coupling.frozen_because));
      } else if (coupling.groups > 1) {
        labels.freeze(in[c], cat(layer.name, ": grouped convolution moves channels in groups"));
      } else if (!known) {
        labels.freeze(in[c], cat(layer.name, " changes the number of what passes through it"));
      } else if (!coupling.passes_through && !value->zero_when_removed) {
        labels.freeze(in[c], cat(layer.name, " would read a constant that is not zero"));
      }
    }
    layer.in = in;
    if (coupling.passes_through && known) {
      layer.out = in;
      store(call.output, spread(shape, in, dim));
      return;
    }
  }

  const bool again = !layer.out.empty();
  for (int64_t c = 0; c < shape[dim] && !again; ++c) layer.out.push_back(labels.fresh());
  ESPALIER_CHECK(static_cast<int64_t>(layer.out.size()) == shape[dim],
                 ShapeError,
                 "trace_channels: ",
                 layer.name,
                 " gives ",
                 shape[dim],
                 " channels, and gave ",
                 layer.out.size(),
                 " before");
  LabelledValue value = spread(shape, layer.out, dim);
  if (!coupling.frozen_because.empty() || coupling.out.empty() || coupling.groups > 1) {
    freeze(value,
           cat(layer.name,
               ": ",
               coupling.groups > 1               ? "grouped convolution moves channels in groups"
               : coupling.frozen_because.empty() ? "does not say how its outputs are cut"
                                                 : coupling.frozen_because));
  }
  store(call.output, std::move(value));
}

void ChannelReader::find_readers(const std::vector<nn::GraphStep>& steps) {
  for (const nn::GraphStep& step : steps) {
    if (step.op >= 0) {
      for (const int input : graph_.op(step.op).inputs) readers_[input].push_back(step);
      continue;
    }
    const nn::GraphCall& call = graph_.call(step.call);
    if (call.is_layer()) readers_[call.input].push_back(step);
    for (const int other : call.others) readers_[other].push_back(step);
  }
}

bool ChannelReader::only_gates(int value) {
  const auto known = only_gates_.find(value);
  if (known != only_gates_.end()) return known->second;
  const std::vector<nn::GraphStep>& readers = readers_[value];
  bool only = value != graph_.output && !readers.empty();
  for (const nn::GraphStep& step : readers) {
    if (!only) break;
    if (step.op < 0) {  // a norm on the way
      const nn::GraphCall& call = graph_.call(step.call);
      only = call.is_layer() && call.module->channel_coupling().passes_through &&
             call.others.empty() && only_gates(call.output);
      continue;
    }
    const nn::GraphOp& op = graph_.op(step.op);
    const auto gate = gate_of_.find(op.output);
    const bool factor = gate != gate_of_.end() && gate->second == value;
    only = factor || (op.rule() != OpRule::Freezes && only_gates(op.output));
  }
  only_gates_[value] = only;
  return only;
}

LabelledValue ChannelReader::frozen(const std::string& reason,
                                    const Shape& shape,
                                    const Operands& operands) {
  for (const LabelledValue* operand : operands) {
    if (operand != nullptr) freeze(*operand, reason);
  }
  const int32_t label = labels.fresh();
  labels.freeze(label, reason);
  LabelledValue result{shape, {}, true};
  result.labels.assign(static_cast<size_t>(shape.numel()), label);
  return result;
}

}  // namespace espalier::prune
