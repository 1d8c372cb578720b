// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/tracer.h>

namespace espalier::prune {
namespace {

bool has_channels(const nn::ChannelCoupling& coupling) {
  return !coupling.in.empty() || !coupling.out.empty();
}

}  // namespace

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

ChannelTracer::ChannelTracer(nn::Module& model) : check_(model) {
  for (const nn::NamedModule& part : model.named_modules()) names_.emplace(part.module, part.name);
}

void ChannelTracer::begin(const Variable& input) {
  LabelledValue value{input.shape(), {}, true};
  const int dim = channel_dim(input.shape());
  std::vector<int32_t> channels;
  for (int64_t c = 0; c < input.size(dim); ++c) {
    channels.push_back(labels.fresh());
    labels.freeze(channels.back(), "input of the network");
  }
  for (int64_t i = 0; i < input.numel(); ++i) {
    value.labels.push_back(channels[static_cast<size_t>(channel_of(input.shape(), dim, i))]);
  }
  store(input, std::move(value));
}

void ChannelTracer::end(const Variable& output) {
  if (const LabelledValue* value = find(output)) freeze(*value, "output of the network");
}

const LabelledValue* ChannelTracer::find(const Variable& value) const {
  if (!value.defined()) return nullptr;
  const auto found = values_.find(value.state().get());
  return found == values_.end() ? nullptr : &found->second;
}

void ChannelTracer::store(const Variable& value, LabelledValue labelled) {
  alive_.push_back(value);
  values_.insert_or_assign(value.state().get(), std::move(labelled));
}

void ChannelTracer::freeze(const LabelledValue& value, const std::string& reason) {
  for (const int32_t label : value.labels) labels.freeze(label, reason);
}

std::vector<int32_t> ChannelTracer::per_channel(const LabelledValue& value, int dim) {
  std::vector<int32_t> channels(static_cast<size_t>(value.shape[dim]), kNoLabel);
  for (int64_t i = 0; i < value.shape.numel(); ++i) {
    int32_t& channel = channels[static_cast<size_t>(channel_of(value.shape, dim, i))];
    const int32_t label = value.labels[static_cast<size_t>(i)];
    channel = channel == kNoLabel ? labels.find(label) : labels.merge(channel, label);
  }
  return channels;
}

void ChannelTracer::enter(nn::Module& module, const Variable&) {
  check_.enter(module);
  if (has_channels(module.channel_coupling())) ++inside_layer_;
}

void ChannelTracer::also_reads(nn::Module& module, const Variable& input) {
  if (const LabelledValue* value = find(input)) {
    freeze(*value, cat(module.describe(), " reads it beside its input"));
  }
}

void ChannelTracer::leave(nn::Module& module, const Variable& input, const Variable& output) {
  check_.leave();
  const bool layer = has_channels(module.channel_coupling());
  if (layer) --inside_layer_;
  if (inside_layer_ > 0) return;
  if (layer) {
    trace_layer(module, input, output);
    return;
  }
  // Modules without parameters whose sizes depend on channels all the same (a padding shortcut).
  if (module.sizes().empty()) return;
  const LabelledValue* in = find(input);
  const LabelledValue* out = find(output);
  if (in == nullptr || out == nullptr) return;
  TracedLayer& traced = layer_of(module);
  traced.in = per_channel(*in, channel_dim(in->shape));
  traced.out = per_channel(*out, channel_dim(out->shape));
}

TracedLayer& ChannelTracer::layer_of(nn::Module& module) {
  const auto [entry, added] = index_.emplace(&module, layers.size());
  if (added) {
    const auto name = names_.find(&module);
    ESPALIER_CHECK(name != names_.end(),
                   ValueError,
                   "trace_channels: the model calls ",
                   module.describe(),
                   ", which its visit() does not name");
    layers.push_back({name->second, &module, {}, {}});
  }
  return layers[entry->second];
}

void ChannelTracer::trace_layer(nn::Module& module, const Variable& input, const Variable& output) {
  const nn::ChannelCoupling coupling = module.channel_coupling();
  TracedLayer& layer = layer_of(module);
  const bool known = coupling.passes_through ? input.shape() == output.shape() : true;

  if (!coupling.in.empty()) {
    const LabelledValue* value = find(input);
    LabelledValue unknown;
    if (value == nullptr) {
      unknown = frozen(cat(layer.name, " reads values whose origin is not known"), input, {});
      value = &unknown;
    }
    const std::vector<int32_t> in = per_channel(*value, channel_dim(value->shape, coupling));
    for (size_t c = 0; c < in.size(); ++c) {
      if (c < layer.in.size()) labels.merge(layer.in[c], in[c]);  // a shared layer's further use
      if (!coupling.frozen_because.empty()) {
        labels.freeze(in[c], cat(layer.name, ": ", coupling.frozen_because));
      } else if (coupling.groups > 1) {
        labels.freeze(in[c], cat(layer.name, ": grouped convolution moves channels in groups"));
      } else if (!known) {
        labels.freeze(in[c], cat(layer.name, " changes the shape of what passes through it"));
      } else if (!coupling.passes_through && !value->zero_when_removed) {
        labels.freeze(in[c], cat(layer.name, " would read a constant that is not zero"));
      }
    }
    layer.in = in;
    if (coupling.passes_through && known) {
      layer.out = in;
      LabelledValue passed = *value;
      passed.zero_when_removed = true;
      store(output, std::move(passed));
      return;
    }
  }

  LabelledValue value{output.shape(), {}, true};
  const int dim = channel_dim(output.shape(), coupling);
  const bool again = !layer.out.empty();
  for (int64_t c = 0; c < output.size(dim) && !again; ++c) layer.out.push_back(labels.fresh());
  ESPALIER_CHECK(static_cast<int64_t>(layer.out.size()) == output.size(dim),
                 ShapeError,
                 "trace_channels: ",
                 layer.name,
                 " gives ",
                 output.size(dim),
                 " channels, and gave ",
                 layer.out.size(),
                 " before");
  for (int64_t i = 0; i < output.numel(); ++i) {
    value.labels.push_back(layer.out[static_cast<size_t>(channel_of(output.shape(), dim, i))]);
  }
  if (!coupling.frozen_because.empty() || coupling.out.empty() || coupling.groups > 1) {
    freeze(value,
           cat(layer.name,
               ": ",
               coupling.groups > 1               ? "grouped convolution moves channels in groups"
               : coupling.frozen_because.empty() ? "does not say how its outputs are cut"
                                                 : coupling.frozen_because));
  }
  store(output, std::move(value));
}

LabelledValue ChannelTracer::frozen(const std::string& reason,
                                    const Variable& output,
                                    const Operands& operands) {
  for (const LabelledValue* operand : operands) {
    if (operand != nullptr) freeze(*operand, reason);
  }
  const int32_t label = labels.fresh();
  labels.freeze(label, reason);
  LabelledValue result{output.shape(), {}, true};
  result.labels.assign(static_cast<size_t>(output.numel()), label);
  return result;
}

}  // namespace espalier::prune
