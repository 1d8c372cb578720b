// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/tracer.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace espalier::prune {
namespace {

constexpr int32_t kNone = -1;
// Element numbers travel as float32 through the backward functions of movements.
constexpr int64_t kMaxElements = int64_t{1} << 24;

bool has_channels(const nn::ChannelCoupling& coupling) {
  return !coupling.in.empty() || !coupling.out.empty();
}

/// The channel of every element along `channel_dim`.
int64_t channel_of(const Shape& shape, int dim, int64_t element) {
  int64_t inner = 1;
  for (int d = dim + 1; d < shape.rank(); ++d) inner *= shape[d];
  return element / inner % shape[dim];
}

/// For every element of `out`, the element of an operand of `shape` that broadcasting puts there.
std::vector<int64_t> broadcast_index(const Shape& out, const Shape& shape) {
  const Shape strides = contiguous_strides(shape);
  std::vector<int64_t> index(static_cast<size_t>(out.numel()));
  for (int64_t i = 0; i < out.numel(); ++i) {
    int64_t rest = i;
    int64_t offset = 0;
    for (int d = out.rank() - 1; d >= 0; --d) {
      const int64_t position = rest % out[d];
      rest /= out[d];
      const int own = d - (out.rank() - shape.rank());
      if (own >= 0 && shape[own] != 1) offset += position * strides[own];
    }
    index[static_cast<size_t>(i)] = offset;
  }
  return index;
}

bool all_zero(const Tensor& tensor) {
  const std::vector<double> values = tensor.to_vector<double>();
  return std::ranges::all_of(values, [](double v) { return v == 0.0; });
}

/// Where each element of each input goes, for ops whose gradient says so: the gradient of an output
/// filled with its own element numbers (from 1), divided by the gradient of ones. -1 where an
/// element goes nowhere. Nothing when the op is not of that kind; with `unit` the gradient of ones
/// must be 0 or 1.
std::optional<std::vector<std::vector<int64_t>>> destinations(const Variable& output,
                                                              size_t inputs,
                                                              const BackwardFn& backward,
                                                              bool unit) {
  if (output.numel() >= kMaxElements) return {};
  Tensor numbers = Tensor::arange(output.numel()).to(output.dtype()).reshape(output.shape());
  {
    auto shifted = numbers.to_vector<double>();
    for (double& v : shifted) v += 1.0;
    numbers = Tensor::from(output.shape(), shifted).to(output.dtype());
  }
  const Tensor ones = Tensor::ones(output.shape(), output.dtype());
  const std::vector<bool> needs(inputs, true);
  const NoGrad no_grad;
  const auto run = [&](const Tensor& gradient) {
    return backward({Variable(gradient.to(output.layout())), output, needs});
  };
  const std::vector<Variable> by_number = run(numbers);
  const std::vector<Variable> by_one = run(ones);
  std::vector<std::vector<int64_t>> result(inputs);
  for (size_t k = 0; k < inputs; ++k) {
    if (k >= by_number.size() || !by_number[k].defined()) continue;
    const auto number = by_number[k].value().to_vector<double>();
    const auto one = by_one[k].value().to_vector<double>();
    for (size_t i = 0; i < number.size(); ++i) {
      if (one[i] == 0.0) {
        result[k].push_back(-1);
        continue;
      }
      if (unit && one[i] != 1.0) return {};
      result[k].push_back(std::llround(number[i] / one[i]) - 1);
    }
  }
  return result;
}

}  // namespace

int channel_dim(const Shape& shape) {
  return shape.rank() == 4 ? 1 : shape.rank() - 1;
}

ChannelTracer::ChannelTracer(nn::Module& model) {
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

std::vector<int32_t> ChannelTracer::per_channel(const LabelledValue& value) {
  const int dim = channel_dim(value.shape);
  std::vector<int32_t> channels(static_cast<size_t>(value.shape[dim]), kNone);
  for (int64_t i = 0; i < value.shape.numel(); ++i) {
    int32_t& channel = channels[static_cast<size_t>(channel_of(value.shape, dim, i))];
    const int32_t label = value.labels[static_cast<size_t>(i)];
    channel = channel == kNone ? labels.find(label) : labels.merge(channel, label);
  }
  return channels;
}

void ChannelTracer::enter(nn::Module& module, const Variable&) {
  if (has_channels(module.channel_coupling())) ++inside_layer_;
}

void ChannelTracer::leave(nn::Module& module, const Variable& input, const Variable& output) {
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
  traced.in = per_channel(*in);
  traced.out = per_channel(*out);
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
    const std::vector<int32_t> in = per_channel(*value);
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
  const int dim = channel_dim(output.shape());
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

void ChannelTracer::op(const char* name,
                       const Variable& output,
                       const std::vector<Variable>& inputs,
                       const BackwardFn& backward) {
  if (inside_layer_ > 0) return;
  Operands operands;
  bool any = false;
  for (const Variable& input : inputs) {
    operands.push_back(find(input));
    any = any || operands.back() != nullptr;
  }
  if (!any) return;  // constants and parameters among themselves
  const OpRule rule = output.rank() == 0 ? OpRule::Unknown : op_rule(name);
  switch (rule) {
    case OpRule::Movement:
      store(output, movement(name, output, inputs, operands, backward));
      return;
    case OpRule::Reduction:
      store(output, reduction(name, output, inputs, operands, backward));
      return;
    case OpRule::Pool:
      store(output, pool(output, *operands[0]));
      return;
    case OpRule::Unknown:
      store(output,
            frozen(cat("op ", name, " is not known to the channel graph"), output, operands));
      return;
    default:
      store(output, elementwise(rule, name, output, inputs, operands));
      return;
  }
}

LabelledValue ChannelTracer::elementwise(OpRule rule,
                                         const std::string& name,
                                         const Variable& output,
                                         const std::vector<Variable>& inputs,
                                         const Operands& operands) {
  LabelledValue result{output.shape(), {}, true};
  result.labels.assign(static_cast<size_t>(output.numel()), kNone);
  bool all_vanish = true;
  bool one_vanishes = false;
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (!inputs[k].defined()) continue;
    const LabelledValue* operand = operands[k];
    const bool vanishes =
        operand != nullptr ? operand->zero_when_removed : all_zero(inputs[k].value());
    all_vanish = all_vanish && vanishes;
    one_vanishes = one_vanishes || (operand != nullptr && vanishes);
    if (operand == nullptr) continue;
    const std::vector<int64_t> index = broadcast_index(output.shape(), operand->shape);
    for (size_t i = 0; i < index.size(); ++i) {
      const int32_t label = operand->labels[static_cast<size_t>(index[i])];
      int32_t& own = result.labels[i];
      own = own == kNone ? label : labels.merge(own, label);
    }
  }
  // A constant that differs along the channels would have to be cut with them.
  const int dim = channel_dim(output.shape());
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (operands[k] != nullptr || !inputs[k].defined()) continue;
    const int own = dim - (output.rank() - inputs[k].rank());
    if (own >= 0 && inputs[k].size(own) != 1) {
      freeze(result, cat("op ", name, " combines it with a tensor that no layer makes"));
    }
  }
  switch (rule) {
    case OpRule::Elementwise:
      result.zero_when_removed = false;
      break;
    case OpRule::Product:
      result.zero_when_removed = one_vanishes;
      break;
    case OpRule::Quotient:
      result.zero_when_removed = operands[0] != nullptr && operands[0]->zero_when_removed;
      break;
    case OpRule::Clamp: {
      // Values on both sides of 0 (or on it) came out, so the limits enclose 0.
      const std::vector<double> values = output.value().to_vector<double>();
      const auto [low, high] = std::ranges::minmax_element(values);
      result.zero_when_removed = all_vanish && !values.empty() && *low <= 0.0 && *high >= 0.0;
      break;
    }
    default:
      result.zero_when_removed = all_vanish;
      break;
  }
  return result;
}

LabelledValue ChannelTracer::movement(const std::string& name,
                                      const Variable& output,
                                      const std::vector<Variable>& inputs,
                                      const Operands& operands,
                                      const BackwardFn& backward) {
  const auto moved = destinations(output, inputs.size(), backward, true);
  if (!moved) return frozen(cat("op ", name, " repeats its elements"), output, operands);
  LabelledValue result{output.shape(), {}, true};
  result.labels.assign(static_cast<size_t>(output.numel()), kNone);
  std::vector<uint8_t> from_unlabelled(static_cast<size_t>(output.numel()), 0);
  for (size_t k = 0; k < inputs.size(); ++k) {
    const LabelledValue* operand = operands[k];
    if (operand != nullptr) {
      result.zero_when_removed = result.zero_when_removed && operand->zero_when_removed;
    }
    const std::vector<int64_t>& targets = (*moved)[k];
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] < 0) continue;
      const auto target = static_cast<size_t>(targets[i]);
      if (operand != nullptr) {
        result.labels[target] = operand->labels[i];
      } else {
        from_unlabelled[target] = 1;
      }
    }
  }
  // What came from nowhere (a pad) or from a constant belongs to the channel it lies in; a channel
  // of nothing else is a channel of its own.
  const int dim = channel_dim(output.shape());
  std::vector<int32_t> channels(static_cast<size_t>(output.size(dim)), kNone);
  const auto channel = [&](int64_t i) -> int32_t& {
    return channels[static_cast<size_t>(channel_of(output.shape(), dim, i))];
  };
  for (int64_t i = 0; i < output.numel(); ++i) {
    const int32_t label = result.labels[static_cast<size_t>(i)];
    if (label != kNone && channel(i) == kNone) channel(i) = label;
  }
  const std::vector<double> values = output.value().to_vector<double>();
  for (int64_t i = 0; i < output.numel(); ++i) {
    const auto at = static_cast<size_t>(i);
    if (result.labels[at] != kNone) continue;
    if (channel(i) == kNone) channel(i) = labels.fresh();
    result.labels[at] = channel(i);
    if (from_unlabelled[at] != 0) {
      labels.freeze(channel(i), cat("op ", name, " joins it with a tensor that no layer makes"));
    } else if (values[at] != 0.0) {
      labels.freeze(channel(i), cat("op ", name, " fills up with a constant that is not zero"));
    }
  }
  return result;
}

LabelledValue ChannelTracer::reduction(const std::string& name,
                                       const Variable& output,
                                       const std::vector<Variable>& inputs,
                                       const Operands& operands,
                                       const BackwardFn& backward) {
  const auto reduced = destinations(output, inputs.size(), backward, false);
  if (!reduced || inputs.size() != 1) {
    return frozen(cat("op ", name, " is too large to follow"), output, operands);
  }
  LabelledValue result{output.shape(), {}, operands[0]->zero_when_removed};
  result.labels.assign(static_cast<size_t>(output.numel()), kNone);
  for (size_t i = 0; i < (*reduced)[0].size(); ++i) {
    const int64_t target = (*reduced)[0][i];
    if (target < 0) continue;
    int32_t& own = result.labels[static_cast<size_t>(target)];
    const int32_t label = operands[0]->labels[i];
    if (own == kNone) {
      own = label;
    } else if (labels.find(own) != labels.find(label)) {
      return frozen(cat("op ", name, " mixes channels"), output, operands);
    }
  }
  for (int32_t& label : result.labels) {
    if (label == kNone) label = labels.fresh();
  }
  return result;
}

LabelledValue ChannelTracer::pool(const Variable& output, const LabelledValue& input) {
  const std::vector<int32_t> channels = per_channel(input);
  LabelledValue result{output.shape(), {}, input.zero_when_removed};
  for (int64_t i = 0; i < output.numel(); ++i) {
    result.labels.push_back(channels[static_cast<size_t>(channel_of(output.shape(), 1, i))]);
  }
  return result;
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
