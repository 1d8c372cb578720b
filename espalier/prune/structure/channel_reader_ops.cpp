// SPDX-License-Identifier: Apache-2.0
// What an op does to the labels of its operands, by the rule that its own file gives.
#include <algorithm>

#include <espalier/prune/structure/channel_reader.h>

namespace espalier::prune {
namespace {

/// Whether the elements of an operand that belong to no channel are 0.
bool all_zero(const Tensor& constant) {
  if (!constant.defined()) return false;
  const std::vector<double> values = constant.to_vector<double>();
  return std::ranges::all_of(values, [](double v) { return v == 0.0; });
}

/// The dimensions in which an op tells positions by their numbers: where a slice begins, how much a
/// pad puts before.
std::vector<int> counted_dims(const OpAttributes& attributes) {
  if (attributes.contains("begin") || attributes.contains("index")) {
    return {static_cast<int>(attributes.integer("dim"))};
  }
  std::vector<int> dims;
  if (!attributes.contains("before")) return dims;
  const std::vector<int64_t>& before = attributes.integers("before");
  const std::vector<int64_t>& after = attributes.integers("after");
  for (size_t d = 0; d < before.size(); ++d) {
    if (before[d] + after[d] > 0) dims.push_back(static_cast<int>(d));
  }
  return dims;
}

}  // namespace

void ChannelReader::read_op(const nn::GraphOp& op) {
  Operands operands;
  bool any = false;
  for (const int input : op.inputs) {
    operands.push_back(find(input));
    any = any || operands.back() != nullptr;
  }
  if (!any) return;  // constants and parameters among themselves
  const Shape& shape = shape_of(op.output);
  switch (shape.rank() == 0 ? OpRule::Freezes : op.rule()) {
    case OpRule::Movement:
      store(op.output, movement(op, operands));
      return;
    case OpRule::Reduction:
      store(op.output, reduction(op, *operands[0]));
      return;
    case OpRule::Pool:
      store(op.output, pool(op, *operands[0]));
      return;
    case OpRule::Unsaid:
    case OpRule::Composed:
    case OpRule::Freezes:
      store(op.output,
            frozen(cat("op ", op.name, " is not known to the channel graph"), shape, operands));
      return;
    default:
      store(op.output, elementwise(op, operands));
      return;
  }
}

LabelledValue ChannelReader::elementwise(const nn::GraphOp& op, const Operands& operands) {
  const Shape& shape = shape_of(op.output);
  LabelledValue result{shape, {}, true};
  result.labels.assign(static_cast<size_t>(shape.numel()), kNoLabel);
  bool all_vanish = true;
  bool one_vanishes = false;
  for (size_t k = 0; k < operands.size(); ++k) {
    if (op.inputs[k] < 0) continue;
    const LabelledValue* operand = operands[k];
    const bool vanishes = operand != nullptr ? operand->zero_when_removed
                                             : all_zero(graph_.value(op.inputs[k]).constant);
    all_vanish = all_vanish && vanishes;
    one_vanishes = one_vanishes || (operand != nullptr && vanishes);
    if (operand == nullptr) continue;
    const std::vector<int64_t> index = broadcast_index(shape, operand->shape);
    for (size_t i = 0; i < index.size(); ++i) {
      const int32_t label = operand->labels[static_cast<size_t>(index[i])];
      int32_t& own = result.labels[i];
      own = own == kNoLabel ? label : labels.merge(own, label);
    }
  }
  // A constant that differs along the channels would have to be cut with them.
  const int dim = channel_dim(shape);
  for (size_t k = 0; k < operands.size(); ++k) {
    if (operands[k] != nullptr || op.inputs[k] < 0) continue;
    const Shape& constant = shape_of(op.inputs[k]);
    const int missing = shape.rank() - constant.rank();
    const auto differs = [&](int d) { return d >= missing && constant[d - missing] != 1; };
    // Of three dimensions it may be the second (N,C,L) as well as the last (N,T,C).
    if (differs(dim) || (shape.rank() == 3 && differs(1))) {
      freeze(result, cat("op ", op.name, " combines it with a tensor that no layer makes"));
    }
  }
  switch (op.rule()) {
    case OpRule::Elementwise:
      result.zero_when_removed = false;
      break;
    case OpRule::Product:
      result.zero_when_removed = one_vanishes;
      if (one_vanishes && !all_vanish) {
        for (size_t k = 0; k < operands.size(); ++k) {
          if (operands[k] != nullptr && !operands[k]->zero_when_removed) {
            gate_of_[op.output] = op.inputs[k];
          }
        }
      }
      break;
    case OpRule::Quotient:
      result.zero_when_removed = operands[0] != nullptr && operands[0]->zero_when_removed;
      break;
    case OpRule::Clamp:
      result.zero_when_removed =
          all_vanish && op.attributes.number("low") <= 0.0 && op.attributes.number("high") >= 0.0;
      break;
    default:
      result.zero_when_removed = all_vanish;
      break;
  }
  return result;
}

/// Whether a module around the op, or the one that calls it, knows numbers of channels.
bool ChannelReader::can_change_sizes(int call) const {
  while (call >= 0 && graph_.call(call).module->sizes().empty()) call = graph_.call(call).parent;
  return call >= 0;
}

/// Numbers of channels that stand in a network's code would be wrong with fewer of them.
void ChannelReader::freeze_counted(const nn::GraphOp& op, const Operands& operands) {
  if (can_change_sizes(op.call)) return;
  for (const int dim : counted_dims(op.attributes)) {
    for (const LabelledValue* operand : operands) {
      if (operand == nullptr) continue;
      // Along a dimension that counts something else all elements are of one channel.
      const std::vector<int64_t> first = reduced_index(operand->shape, {dim});
      std::vector<int32_t> seen(operand->labels.size(), kNoLabel);
      bool channels = false;
      for (size_t i = 0; i < operand->labels.size(); ++i) {
        int32_t& label = seen[static_cast<size_t>(first[i])];
        if (label == kNoLabel) label = labels.find(operand->labels[i]);
        channels = channels || label != labels.find(operand->labels[i]);
      }
      if (channels) freeze(*operand, cat("op ", op.name, " tells channels by their numbers"));
    }
  }
}

LabelledValue ChannelReader::movement(const nn::GraphOp& op, const Operands& operands) {
  freeze_counted(op, operands);
  const Shape& shape = shape_of(op.output);
  const std::vector<ElementSource> sources = op.sources(graph_.input_shapes(op), shape);
  LabelledValue result{shape, {}, true};
  for (const LabelledValue* operand : operands) {
    if (operand != nullptr) {
      result.zero_when_removed = result.zero_when_removed && operand->zero_when_removed;
    }
  }
  for (const ElementSource& source : sources) {
    const LabelledValue* operand =
        source.input < 0 ? nullptr : operands[static_cast<size_t>(source.input)];
    result.labels.push_back(
        operand == nullptr ? kNoLabel : operand->labels[static_cast<size_t>(source.element)]);
  }
  // What came from nowhere (a pad) or from a constant belongs to the channel it lies in; a channel
  // of nothing else is a channel of its own.
  const int dim = channel_dim(shape);
  std::vector<int32_t> channels(static_cast<size_t>(shape[dim]), kNoLabel);
  const auto channel = [&](int64_t i) -> int32_t& {
    return channels[static_cast<size_t>(channel_of(shape, dim, i))];
  };
  for (int64_t i = 0; i < shape.numel(); ++i) {
    const int32_t label = result.labels[static_cast<size_t>(i)];
    if (label != kNoLabel && channel(i) == kNoLabel) channel(i) = label;
  }
  const bool fills = op.attributes.contains("value") && op.attributes.number("value") != 0.0;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    const auto at = static_cast<size_t>(i);
    if (result.labels[at] != kNoLabel) continue;
    if (channel(i) == kNoLabel) channel(i) = labels.fresh();
    result.labels[at] = channel(i);
    if (sources[at].input >= 0) {
      labels.freeze(channel(i), cat("op ", op.name, " joins it with a tensor that no layer makes"));
    } else if (fills) {
      labels.freeze(channel(i), cat("op ", op.name, " fills up with a constant that is not zero"));
    }
  }
  return result;
}

LabelledValue ChannelReader::reduction(const nn::GraphOp& op, const LabelledValue& operand) {
  const Shape& shape = shape_of(op.output);
  const std::vector<int64_t> targets = reduced_index(operand.shape, op.attributes.integers("dims"));
  LabelledValue result{shape, {}, operand.zero_when_removed};
  result.labels.assign(static_cast<size_t>(shape.numel()), kNoLabel);
  for (size_t i = 0; i < targets.size(); ++i) {
    int32_t& own = result.labels[static_cast<size_t>(targets[i])];
    const int32_t label = operand.labels[i];
    if (own == kNoLabel) {
      own = label;
    } else if (labels.find(own) != labels.find(label)) {
      return frozen(cat("op ", op.name, " mixes channels"), shape, {&operand});
    }
  }
  for (int32_t& label : result.labels) {
    if (label == kNoLabel) label = labels.fresh();
  }
  return result;
}

LabelledValue ChannelReader::pool(const nn::GraphOp& op, const LabelledValue& operand) {
  LabelledValue result =
      spread(shape_of(op.output), per_channel(operand, channel_dim(operand.shape)), /*dim=*/1);
  result.zero_when_removed = operand.zero_when_removed;
  return result;
}

}  // namespace espalier::prune
