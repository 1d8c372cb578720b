// SPDX-License-Identifier: Apache-2.0
/// Follows one sample through a network and gives every element of every activation a node of the
/// flow graph. The work behind flow_graph.h; not a public interface.
#pragma once

#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include <espalier/nn/module/trace.h>
#include <espalier/prune/structure/flow_graph.h>

namespace espalier::prune {

/// Listens to one forward pass.
class FlowTracer : public nn::TraceListener {
 public:
  explicit FlowTracer(nn::Module& model);  ///< of the prunable weights that it has now

  /// Every element of the network's input is the input.
  void begin(const Variable& input);
  /// Ends the trace.
  FlowGraph end(const Variable& output);

  void enter(nn::Module& module, const Variable& input) override;
  void leave(nn::Module& module, const Variable& input, const Variable& output) override;
  void op(const char* name,
          const Variable& output,
          const std::vector<Variable>& inputs,
          const BackwardFn& backward) override;

 private:
  /// A node per element, in logical row-major order.
  struct Nodes {
    Shape shape;
    std::vector<int32_t> of;
  };

  const Nodes* find(const Variable& value) const;
  void store(const Variable& value, Nodes nodes);
  int32_t either(int32_t a, int32_t b);
  int32_t any_of(std::vector<int32_t> nodes);
  std::vector<int32_t> per_channel(const Nodes& value);
  Nodes spread(const Shape& shape, const std::vector<int32_t>& channels) const;
  /// The call of a layer on these input channels, and its output's nodes.
  std::vector<int32_t> call(FlowGraph::Call call);
  FlowGraph::Call describe(nn::Module& module) const;
  Nodes follow(const char* name,
               const Variable& output,
               const std::vector<Variable>& inputs,
               const BackwardFn& backward);

  FlowGraph graph_;
  std::map<const nn::Parameter*, std::string> names_;
  std::map<std::vector<int32_t>, int32_t> unions_;
  std::pair<std::pair<int32_t, int32_t>, int32_t> last_ = {{-1, -1}, -1};  // of `either`
  std::unordered_map<const VariableState*, Nodes> values_;
  // Values stay alive, so that no new one gets an old one's address.
  std::vector<Variable> alive_;
  int inside_layer_ = 0;
};

}  // namespace espalier::prune
