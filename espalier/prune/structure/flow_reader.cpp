// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/flow_reader.h>

#include <algorithm>
#include <set>

#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/module/own_parameters.h>
#include <espalier/prune/structure/channel_reader.h>

namespace espalier::prune {
namespace {

const nn::ChannelSlice* slice_of(const std::vector<nn::ChannelSlice>& slices,
                                 const std::string& member) {
  const auto found = std::ranges::find_if(
      slices, [&](const nn::ChannelSlice& slice) { return slice.name == member; });
  return found == slices.end() ? nullptr : &*found;
}

}  // namespace

FlowReader::FlowReader(nn::Module& model, const nn::NetworkGraph& network) : network_(network) {
  for (const nn::NamedParameter& one : model.named_parameters()) {
    names_.emplace(one.parameter, one.name);
  }
}

FlowGraph FlowReader::read() {
  graph_.nodes_.push_back({});  // every element of the network's input is the input
  const Shape& input = shape_of(network_.input);
  store(network_.input, {input, std::vector<int32_t>(static_cast<size_t>(input.numel()), 0)});
  for (const nn::GraphStep& step :
       network_.steps([](const nn::GraphCall& call) { return call.is_layer(); })) {
    if (step.op >= 0) {
      read_op(network_.op(step.op));
    } else if (network_.call(step.call).is_layer()) {
      read_layer(network_.call(step.call));
    }
  }
  const Shape& shape = shape_of(network_.output);
  if (const Nodes* nodes = find(network_.output); nodes != nullptr && shape.rank() > 0) {
    const int dim = channel_dim(shape);
    std::vector<std::set<int32_t>> of(static_cast<size_t>(shape[dim]));
    for (int64_t i = 0; i < shape.numel(); ++i) {
      const int32_t node = nodes->of[static_cast<size_t>(i)];
      if (node >= 0) of[static_cast<size_t>(channel_of(shape, dim, i))].insert(node);
    }
    for (const auto& one : of) graph_.outputs_.emplace_back(one.begin(), one.end());
  }
  graph_.settle();
  return std::move(graph_);
}

const FlowReader::Nodes* FlowReader::find(int value) const {
  const auto found = values_.find(value);
  return found == values_.end() ? nullptr : &found->second;
}

int32_t FlowReader::either(int32_t a, int32_t b) {
  if (a == b || b < 0) return a;
  if (a < 0) return b;
  // Elements of one channel come one after another.
  if (last_.first != std::pair(a, b)) last_ = {{a, b}, any_of({a, b})};
  return last_.second;
}

int32_t FlowReader::any_of(std::vector<int32_t> nodes) {
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

std::vector<int32_t> FlowReader::per_channel(const Nodes& value) {
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

FlowReader::Nodes FlowReader::spread(const Shape& shape,
                                     const std::vector<int32_t>& channels) const {
  const int dim = channel_dim(shape);
  Nodes result{shape, {}};
  result.of.reserve(static_cast<size_t>(shape.numel()));
  for (int64_t i = 0; i < shape.numel(); ++i) {
    result.of.push_back(channels[static_cast<size_t>(channel_of(shape, dim, i))]);
  }
  return result;
}

std::vector<int32_t> FlowReader::call(FlowGraph::Call call) {
  std::vector<int32_t> outs;
  const auto number = static_cast<int32_t>(graph_.calls_.size());
  for (int64_t o = 0; o < call.outs; ++o) {
    outs.push_back(static_cast<int32_t>(graph_.nodes_.size()));
    graph_.nodes_.push_back({{}, number, static_cast<int32_t>(o)});
  }
  graph_.calls_.push_back(std::move(call));
  return outs;
}

FlowGraph::Call FlowReader::describe(nn::Module& module) const {
  const nn::ChannelCoupling coupling = module.channel_coupling();
  FlowGraph::Call result;
  result.rule = FlowGraph::Rule::Whole;
  result.groups = coupling.groups;
  for (const nn::NamedModule& part : module.named_modules()) {
    nn::OwnParameters own;
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

void FlowReader::read_layer(const nn::GraphCall& call) {
  const Nodes* value = find(call.input);
  if (value == nullptr) return;  // a layer of constants
  const Shape& shape = shape_of(call.output);
  FlowGraph::Call layer = describe(*call.module);
  if (layer.weights.empty()) {
    // Norms pass elements on; an embedding's features are of the token.
    if (value->shape == shape) {
      store(call.output, Nodes(*value));
    } else {
      const int32_t all = any_of(value->of);
      store(call.output, {shape, std::vector<int32_t>(static_cast<size_t>(shape.numel()), all)});
    }
    return;
  }
  layer.in = per_channel(*value);
  layer.outs = shape[channel_dim(shape)];
  store(call.output, spread(shape, this->call(std::move(layer))));
}

void FlowReader::read_op(const nn::GraphOp& op) {
  const bool any =
      std::ranges::any_of(op.inputs, [&](int input) { return find(input) != nullptr; });
  if (any) store(op.output, follow(op));  // else constants and parameters among themselves
}

FlowReader::Nodes FlowReader::follow(const nn::GraphOp& op) {
  const Shape& shape = shape_of(op.output);
  Nodes result{shape, {}};
  result.of.assign(static_cast<size_t>(shape.numel()), FlowGraph::kNoNode);
  const OpRule rule = shape.rank() == 0 ? OpRule::Freezes : op.rule();
  switch (rule) {
    case OpRule::Movement: {
      const std::vector<ElementSource> sources = op.sources(network_.input_shapes(op), shape);
      for (size_t i = 0; i < sources.size(); ++i) {
        if (sources[i].input < 0) continue;
        const Nodes* operand = find(op.inputs[static_cast<size_t>(sources[i].input)]);
        if (operand != nullptr) result.of[i] = operand->of[static_cast<size_t>(sources[i].element)];
      }
      return result;
    }
    case OpRule::Reduction: {
      const Nodes& operand = *find(op.inputs[0]);
      const std::vector<int64_t> targets =
          reduced_index(operand.shape, op.attributes.integers("dims"));
      for (size_t i = 0; i < targets.size(); ++i) {
        int32_t& own = result.of[static_cast<size_t>(targets[i])];
        own = either(own, operand.of[i]);
      }
      return result;
    }
    case OpRule::Pool:
      return spread(shape, per_channel(*find(op.inputs[0])));
    case OpRule::Unsaid:
    case OpRule::Composed:
    case OpRule::Freezes: {
      // Any element may come from any other.
      std::vector<int32_t> all;
      for (const int input : op.inputs) {
        if (const Nodes* operand = find(input)) {
          all.insert(all.end(), operand->of.begin(), operand->of.end());
        }
      }
      result.of.assign(result.of.size(), any_of(std::move(all)));
      return result;
    }
    default:
      for (const int input : op.inputs) {
        const Nodes* operand = find(input);
        if (operand == nullptr) continue;
        const std::vector<int64_t> index = broadcast_index(shape, operand->shape);
        for (size_t i = 0; i < index.size(); ++i) {
          result.of[i] = either(result.of[i], operand->of[static_cast<size_t>(index[i])]);
        }
      }
      return result;
  }
}

FlowGraph trace_flow(nn::Module& model, const Variable& input) {
  ESPALIER_CHECK(input.rank() >= 1 && input.size(0) == 1,
                 ShapeError,
                 "trace_flow: expects one sample, got ",
                 input.value());
  const nn::NetworkGraph network = nn::trace_network(model, input);
  return FlowReader(model, network).read();
}

}  // namespace espalier::prune
