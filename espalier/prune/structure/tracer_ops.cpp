// SPDX-License-Identifier: Apache-2.0
// What an op does to the labels of its operands.
#include <algorithm>

#include <espalier/prune/structure/element_moves.h>
#include <espalier/prune/structure/tracer.h>

namespace espalier::prune {
namespace {

bool all_zero(const Tensor& tensor) {
  const std::vector<double> values = tensor.to_vector<double>();
  return std::ranges::all_of(values, [](double v) { return v == 0.0; });
}

}  // namespace

void ChannelTracer::op(const char* name,
                       const Variable& output,
                       const std::vector<Variable>& inputs,
                       const BackwardFn& backward) {
  check_.op(name, inputs);
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
  result.labels.assign(static_cast<size_t>(output.numel()), kNoLabel);
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
      own = own == kNoLabel ? label : labels.merge(own, label);
    }
  }
  // A constant that differs along the channels would have to be cut with them.
  const int dim = channel_dim(output.shape());
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (operands[k] != nullptr || !inputs[k].defined()) continue;
    const int missing = output.rank() - inputs[k].rank();
    const auto differs = [&](int d) { return d >= missing && inputs[k].size(d - missing) != 1; };
    // Of three dimensions it may be the second (N,C,L) as well as the last (N,T,C).
    if (differs(dim) || (output.rank() == 3 && differs(1))) {
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
  result.labels.assign(static_cast<size_t>(output.numel()), kNoLabel);
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
  std::vector<int32_t> channels(static_cast<size_t>(output.size(dim)), kNoLabel);
  const auto channel = [&](int64_t i) -> int32_t& {
    return channels[static_cast<size_t>(channel_of(output.shape(), dim, i))];
  };
  for (int64_t i = 0; i < output.numel(); ++i) {
    const int32_t label = result.labels[static_cast<size_t>(i)];
    if (label != kNoLabel && channel(i) == kNoLabel) channel(i) = label;
  }
  const std::vector<double> values = output.value().to_vector<double>();
  for (int64_t i = 0; i < output.numel(); ++i) {
    const auto at = static_cast<size_t>(i);
    if (result.labels[at] != kNoLabel) continue;
    if (channel(i) == kNoLabel) channel(i) = labels.fresh();
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
  result.labels.assign(static_cast<size_t>(output.numel()), kNoLabel);
  for (size_t i = 0; i < (*reduced)[0].size(); ++i) {
    const int64_t target = (*reduced)[0][i];
    if (target < 0) continue;
    int32_t& own = result.labels[static_cast<size_t>(target)];
    const int32_t label = operands[0]->labels[i];
    if (own == kNoLabel) {
      own = label;
    } else if (labels.find(own) != labels.find(label)) {
      return frozen(cat("op ", name, " mixes channels"), output, operands);
    }
  }
  for (int32_t& label : result.labels) {
    if (label == kNoLabel) label = labels.fresh();
  }
  return result;
}

LabelledValue ChannelTracer::pool(const Variable& output, const LabelledValue& input) {
  const std::vector<int32_t> channels = per_channel(input, channel_dim(input.shape));
  LabelledValue result{output.shape(), {}, input.zero_when_removed};
  for (int64_t i = 0; i < output.numel(); ++i) {
    result.labels.push_back(channels[static_cast<size_t>(channel_of(output.shape(), 1, i))]);
  }
  return result;
}

}  // namespace espalier::prune
