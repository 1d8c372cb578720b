// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/flow_tracer.h>

#include <algorithm>
#include <set>

#include <espalier/nn/introspect/counting.h>
#include <espalier/prune/ground/own_parameters.h>
#include <espalier/prune/structure/element_moves.h>
#include <espalier/prune/structure/op_rules.h>
#include <espalier/prune/structure/tracer.h>

namespace espalier::prune {
namespace {

bool has_channels(const nn::ChannelCoupling& coupling) {
  return !coupling.in.empty() || !coupling.out.empty();
}

const nn::ChannelSlice* slice_of(const std::vector<nn::ChannelSlice>& slices,
                                 const std::string& member) {
  const auto found = std::ranges::find_if(
      slices, [&](const nn::ChannelSlice& slice) { return slice.name == member; });
  return found == slices.end() ? nullptr : &*found;
}

}  // namespace

FlowTracer::FlowTracer(nn::Module& model) {
  for (const nn::NamedParameter& one : model.named_parameters()) {
    names_.emplace(one.parameter, one.name);
  }
}

void FlowTracer::begin(const Variable& input) {
  graph_.nodes_.push_back({});
  store(input, {input.shape(), std::vector<int32_t>(static_cast<size_t>(input.numel()), 0)});
}

FlowGraph FlowTracer::end(const Variable& output) {
  if (const Nodes* nodes = find(output); nodes != nullptr && output.rank() > 0) {
    const int dim = channel_dim(output.shape());
    std::vector<std::set<int32_t>> of(static_cast<size_t>(output.size(dim)));
    for (int64_t i = 0; i < output.numel(); ++i) {
      const int32_t node = nodes->of[static_cast<size_t>(i)];
      if (node >= 0) of[static_cast<size_t>(channel_of(output.shape(), dim, i))].insert(node);
    }
    for (const auto& one : of) graph_.outputs_.emplace_back(one.begin(), one.end());
  }
  graph_.settle();
  return std::move(graph_);
}

const FlowTracer::Nodes* FlowTracer::find(const Variable& value) const {
  if (!value.defined()) return nullptr;
  const auto found = values_.find(value.state().get());
  return found == values_.end() ? nullptr : &found->second;
}

void FlowTracer::store(const Variable& value, Nodes nodes) {
  alive_.push_back(value);
  values_.insert_or_assign(value.state().get(), std::move(nodes));
}

int32_t FlowTracer::either(int32_t a, int32_t b) {
  if (a == b || b < 0) return a;
  if (a < 0) return b;
  // Elements of one channel come one after another.
  if (last_.first != std::pair(a, b)) last_ = {{a, b}, any_of({a, b})};
  return last_.second;
}

int32_t FlowTracer::any_of(std::vector<int32_t> nodes) {
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  if (!nodes.empty() && nodes.front() < 0) nodes.erase(nodes.begin());
  if (nodes.empty()) return FlowGraph::kNoNode;
  if (nodes.size() == 1) return nodes.front();
  const auto [entry, added] =
      unions_.emplace(std::move(nodes), static_cast<int32_t>(graph_.nodes_.size()));
  if (added) graph_.nodes_.push_back({entry->first, -1, 0});
  return entry->second;
}

std::vector<int32_t> FlowTracer::per_channel(const Nodes& value) {
  const int dim = channel_dim(value.shape);
  std::vector<std::vector<int32_t>> of(static_cast<size_t>(value.shape[dim]));
  for (int64_t i = 0; i < value.shape.numel(); ++i) {
    std::vector<int32_t>& channel = of[static_cast<size_t>(channel_of(value.shape, dim, i))];
    const int32_t node = value.of[static_cast<size_t>(i)];
    if (channel.empty() || channel.back() != node) channel.push_back(node);
  }
  std::vector<int32_t> channels;
  for (auto& one : of) channels.push_back(any_of(std::move(one)));
  return channels;
}

FlowTracer::Nodes FlowTracer::spread(const Shape& shape,
                                     const std::vector<int32_t>& channels) const {
  const int dim = channel_dim(shape);
  Nodes result{shape, {}};
  result.of.reserve(static_cast<size_t>(shape.numel()));
  for (int64_t i = 0; i < shape.numel(); ++i) {
    result.of.push_back(channels[static_cast<size_t>(channel_of(shape, dim, i))]);
  }
  return result;
}

std::vector<int32_t> FlowTracer::call(FlowGraph::Call call) {
  std::vector<int32_t> outs;
  const auto number = static_cast<int32_t>(graph_.calls_.size());
  for (int64_t o = 0; o < call.outs; ++o) {
    outs.push_back(static_cast<int32_t>(graph_.nodes_.size()));
    graph_.nodes_.push_back({{}, number, static_cast<int32_t>(o)});
  }
  graph_.calls_.push_back(std::move(call));
  return outs;
}

FlowGraph::Call FlowTracer::describe(nn::Module& module) const {
  const nn::ChannelCoupling coupling = module.channel_coupling();
  FlowGraph::Call result;
  result.rule = FlowGraph::Rule::Whole;
  result.groups = coupling.groups;
  for (const nn::NamedModule& part : module.named_modules()) {
    OwnParameters own;
    part.module->visit(own);
    const bool inside = part.module != &module;
    for (const auto& [member, parameter] : own.found) {
      if (!nn::is_prunable_weight(*part.module, member, *parameter)) continue;
      const nn::ChannelSlice* in = slice_of(coupling.in, member);
      const nn::ChannelSlice* out = slice_of(coupling.out, member);
      // What only feeds a layer's hidden units back to them is no step of a path.
      if (!inside && in == nullptr && out == nullptr) continue;
      const auto name = names_.find(parameter);
      const FlowGraph::Weight weight = {name == names_.end() ? member : name->second, parameter};
      const bool rows = !inside && out != nullptr && out->dim == 0 && out->repeat == 1;
      const bool columns = in != nullptr && in->dim == 1 && in->repeat == 1;
      if (rows && (coupling.passes_through || columns)) {
        result.rule =
            coupling.passes_through ? FlowGraph::Rule::PerChannel : FlowGraph::Rule::Matrix;
        result.weights = {weight};
        return result;
      }
      result.weights.push_back(weight);
    }
  }
  return result;
}

void FlowTracer::enter(nn::Module& module, const Variable&) {
  if (has_channels(module.channel_coupling())) ++inside_layer_;
}

void FlowTracer::leave(nn::Module& module, const Variable& input, const Variable& output) {
  if (!has_channels(module.channel_coupling())) return;
  --inside_layer_;
  if (inside_layer_ > 0) return;
  const Nodes* value = find(input);
  if (value == nullptr) return;  // a layer of constants
  FlowGraph::Call layer = describe(module);
  if (layer.weights.empty()) {
    // Norms pass elements on; an embedding's features are of the token.
    if (input.shape() == output.shape()) {
      store(output, Nodes(*value));
    } else {
      const int32_t all = any_of(value->of);
      store(output,
            {output.shape(), std::vector<int32_t>(static_cast<size_t>(output.numel()), all)});
    }
    return;
  }
  layer.in = per_channel(*value);
  layer.outs = output.size(channel_dim(output.shape()));
  store(output, spread(output.shape(), call(std::move(layer))));
}

void FlowTracer::op(const char* name,
                    const Variable& output,
                    const std::vector<Variable>& inputs,
                    const BackwardFn& backward) {
  if (inside_layer_ > 0) return;
  const bool any =
      std::ranges::any_of(inputs, [&](const Variable& input) { return find(input) != nullptr; });
  if (!any) return;  // constants and parameters among themselves
  store(output, follow(name, output, inputs, backward));
}

FlowTracer::Nodes FlowTracer::follow(const char* name,
                                     const Variable& output,
                                     const std::vector<Variable>& inputs,
                                     const BackwardFn& backward) {
  Nodes result{output.shape(), {}};
  result.of.assign(static_cast<size_t>(output.numel()), FlowGraph::kNoNode);
  const OpRule rule = output.rank() == 0 ? OpRule::Unknown : op_rule(name);
  if (rule == OpRule::Movement || rule == OpRule::Reduction) {
    // A movement that repeats elements can't be followed by its gradient.
    const bool unit = rule == OpRule::Movement;
    if (const auto moved = destinations(output, inputs.size(), backward, unit)) {
      for (size_t k = 0; k < inputs.size(); ++k) {
        const Nodes* operand = find(inputs[k]);
        if (operand == nullptr) continue;
        const std::vector<int64_t>& targets = (*moved)[k];
        for (size_t i = 0; i < targets.size(); ++i) {
          if (targets[i] < 0) continue;
          int32_t& own = result.of[static_cast<size_t>(targets[i])];
          own = either(own, operand->of[i]);
        }
      }
      return result;
    }
  } else if (rule == OpRule::Pool) {
    return spread(output.shape(), per_channel(*find(inputs[0])));
  } else if (rule != OpRule::Unknown) {
    for (const Variable& input : inputs) {
      const Nodes* operand = find(input);
      if (operand == nullptr) continue;
      const std::vector<int64_t> index = broadcast_index(output.shape(), operand->shape);
      for (size_t i = 0; i < index.size(); ++i) {
        result.of[i] = either(result.of[i], operand->of[static_cast<size_t>(index[i])]);
      }
    }
    return result;
  }
  // Any element may come from any other.
  std::vector<int32_t> all;
  for (const Variable& input : inputs) {
    if (const Nodes* operand = find(input)) {
      all.insert(all.end(), operand->of.begin(), operand->of.end());
    }
  }
  result.of.assign(result.of.size(), any_of(std::move(all)));
  return result;
}

FlowGraph trace_flow(nn::Module& model, const Variable& input) {
  ESPALIER_CHECK(input.rank() >= 1 && input.size(0) == 1,
                 ShapeError,
                 "trace_flow: expects one sample, got ",
                 input.value());
  FlowTracer tracer(model);
  const nn::EvalScope eval(model);
  const NoGrad no_grad;
  const nn::TraceScope scope(tracer);
  tracer.begin(input);
  const Variable output = model(input);
  return tracer.end(output);
}

}  // namespace espalier::prune
