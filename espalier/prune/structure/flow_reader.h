// SPDX-License-Identifier: Apache-2.0
/// Follows one sample through the graph of a network and gives every element of every activation a
/// node of the flow graph. The work behind flow_graph.h; not a public interface.
#pragma once

#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include <espalier/nn/graph/graph.h>
#include <espalier/prune/structure/flow_graph.h>

namespace espalier::prune {

/// Reads one graph.
class FlowReader {
 public:
  /// Of the prunable weights that the model has now.
  FlowReader(nn::Module& model, const nn::NetworkGraph& network);
  /// Reads all of it, once.
  FlowGraph read();

 private:
  /// A node per element, in logical row-major order.
  struct Nodes {
    Shape shape;
    std::vector<int32_t> of;
  };

  const Nodes* find(int value) const;
  void store(int value, Nodes nodes) { values_[value] = std::move(nodes); }
  const Shape& shape_of(int value) const { return network_.value(value).shape; }
  void read_layer(const nn::GraphCall& call);
  void read_op(const nn::GraphOp& op);
  int32_t either(int32_t a, int32_t b);
  int32_t any_of(std::vector<int32_t> nodes);
  std::vector<int32_t> per_channel(const Nodes& value);
  Nodes spread(const Shape& shape, const std::vector<int32_t>& channels) const;
  /// The call of a layer on these input channels, and its output's nodes.
  std::vector<int32_t> call(FlowGraph::Call call);
  FlowGraph::Call describe(nn::Module& module) const;
  Nodes follow(const nn::GraphOp& op);

  const nn::NetworkGraph& network_;
  FlowGraph graph_;
  std::map<const nn::Parameter*, std::string> names_;
  std::map<std::vector<int32_t>, int32_t> unions_;
  std::pair<std::pair<int32_t, int32_t>, int32_t> last_ = {{-1, -1}, -1};  // of `either`
  std::unordered_map<int, Nodes> values_;
};

}  // namespace espalier::prune
