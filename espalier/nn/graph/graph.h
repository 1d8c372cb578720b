// SPDX-License-Identifier: Apache-2.0
/// NetworkGraph: a network as a value. One run of it on an example says which values there are,
/// which ops make them of what, and which module ran which ops. Whoever counts, prunes, compiles,
/// calibrates or describes a network reads this and traces nothing itself (tracer.h makes it).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <espalier/autograd/op_attributes.h>
#include <espalier/autograd/op_list.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Where a value comes from.
enum class ValueOrigin : uint8_t {
  Input,      ///< the network's input
  Parameter,  ///< a parameter of the network
  Constant,   ///< a tensor that no op made: a buffer, a mask, a number
  Op,         ///< an op made it
  Call,       ///< a module returned it, and no op is known to have made it
};

/// One tensor of the run.
struct GraphValue {
  Shape shape = {};                            ///< with the batch dimension of the example
  DType dtype = DType::F32;                    ///< its element type
  Layout layout = Layout::Nchw;                ///< its layout
  ValueOrigin origin = ValueOrigin::Constant;  ///< where it comes from
  int made_by = -1;                            ///< number of the op or call that made it
  std::string name = {};                       ///< dotted, of a parameter; else empty
  bool from_input = false;                     ///< it depends on the network's input
  /// Its tensor, where it does not depend on the network's input: weights, shared with the network,
  /// and what is made of them. Of activations no data is kept.
  Tensor constant = {};
};

/// One op of the run.
struct GraphOp {
  std::string name;              ///< as on the tape: `conv2d`
  OpAttributes attributes = {};  ///< what it was called with beside its inputs
  std::vector<int> inputs = {};  ///< values; -1: an input that was left out
  int output = -1;               ///< a value
  int call = -1;                 ///< the innermost module call in which it ran; -1: none
  const OpInfo* info = nullptr;  ///< its description; null for an op of nobody's list
  /// What its description says; an op without one freezes what it reads.
  OpRule rule() const { return info == nullptr ? OpRule::Freezes : info->rule; }
  /// Where the elements of its output come from. Throws NotImplemented for an op that moves none.
  std::vector<ElementSource> sources(const std::vector<Shape>& inputs, const Shape& output) const;
};

/// One call of a module.
struct GraphCall {
  std::string name = {};         ///< dotted; empty for the network itself
  bool named = true;             ///< false: no `visit` names the module, so it has no name
  Module* module = nullptr;      ///< that was called
  int parent = -1;               ///< the call in which it ran; -1: none
  int input = -1;                ///< a value
  std::vector<int> others = {};  ///< values that it read beside its input (attention's keys)
  int output = -1;               ///< a value
  /// MACs that kernels reported for the whole batch while it ran, those of parts included.
  int64_t macs = 0;
  /// Whether the module has channels of its own: it is a layer.
  bool is_layer() const { return module->channel_coupling().has_channels(); }
};

/// Something that happens in a run: an op, or a call that begins or ends.
struct GraphStep {
  int op = -1;          ///< number of the op; -1: it is a call
  int call = -1;        ///< number of the call
  bool begins = false;  ///< the call begins; else it ends
};

/// A network, as it ran on one example. Valid while the network lives and keeps its parts.
struct NetworkGraph {
  std::vector<GraphValue> values;  ///< in the order in which they appeared
  std::vector<GraphOp> ops;        ///< in the order in which they ran
  std::vector<GraphCall> calls;    ///< in the order in which they began; 0 is the network's
  std::vector<GraphStep> order;    ///< all of it as it happened
  int input = -1;                  ///< a value
  int output = -1;                 ///< a value

  /// The value that ops name as input or output `id`.
  const GraphValue& value(int id) const { return values[static_cast<size_t>(id)]; }
  /// The op that ran as number `id`, from 0.
  const GraphOp& op(int id) const { return ops[static_cast<size_t>(id)]; }
  /// The module's call that began as number `id`; 0 is the network's own.
  const GraphCall& call(int id) const { return calls[static_cast<size_t>(id)]; }

  /// Ops and ends of calls, in the order of the run. A call for which `whole` holds is one step:
  /// what happens inside of it is left out.
  std::vector<GraphStep> steps(FunctionRef<bool(const GraphCall&)> whole) const;
  /// Calls of layers in the order in which they ended (a shared layer appears at each use). Throws
  /// ValueError for a module that no `visit` names.
  std::vector<const GraphCall*> layer_calls() const;
  /// MACs of a call without those of layers inside of it.
  int64_t own_macs(const GraphCall& call) const;
  /// The shapes of an op's inputs; of one that was left out an empty one.
  std::vector<Shape> input_shapes(const GraphOp& op) const;
};

/// Throws ValueError naming a layer that ran past `layer(x)`: an op reads a parameter of a layer
/// with channels, and none of the layers that have it is being called. What a reader of the graph
/// would say of such a network (counts, channels, a plan) leaves the layer out.
void check_calls(Module& model, const NetworkGraph& graph);

}  // namespace espalier::nn
