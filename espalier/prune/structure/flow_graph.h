// SPDX-License-Identifier: Apache-2.0
/// The flow graph: which paths of weights lead from a network's input to its outputs, read from the
/// network's graph (nn/graph) of one sample; with some weights removed it then tells what nothing
/// reaches any more: which outputs, and where the way to them ends. A path goes through a weight
/// that is kept, through both operands of a sum, of a concatenation and of a product, through
/// pools, norms and activations; biases and batch norm's shifts are no part of one, for they say
/// the same whatever the input is. A tap of a kernel counts even if it only ever meets padding.
///
/// Unlike the channel graph it keeps the order in which things happen, and what joins in a sum
/// stays apart: a residual block can be empty beside its shortcut.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <espalier/nn/module/module.h>

namespace espalier::prune {

/// The mask of a parameter (uint8, in its shape); undefined: all of it stays.
using MaskOf = std::function<Tensor(const nn::Parameter& parameter)>;

/// What passes through a network under some masks.
struct Flow {
  /// No output depends on the input any more, though one did without masks.
  bool cut = false;
  /// Outputs (positions along the output's channel dimension, ascending) that depend on the input
  /// without masks, but not with them.
  std::vector<int64_t> lost_outputs;
  /// Weights at which the ways to lost outputs end: the last at which anything arrives, and those
  /// behind of which nothing is left. In the order in which they run.
  std::vector<std::string> ends;
  /// Weights through which nothing passes from the input to any output, though something does
  /// without masks. In the same order.
  std::vector<std::string> idle;
};

/// The paths of a network. Valid while the network lives and keeps its sizes.
class FlowGraph {
 public:
  /// Positions along the channel dimension of the network's output.
  int64_t outputs() const { return static_cast<int64_t>(outputs_.size()); }
  /// True if the trace found a way from the input to an output through weights that are all there.
  bool connected() const { return connected_; }
  /// What passes under the masks.
  Flow flow(const MaskOf& mask) const;
  /// What passes under the masks that the network has now.
  Flow flow() const;
  /// The least number of the weights `counted` on a way from the input to an output, each at most
  /// once a way; ways through others cost nothing. 0 if there is none.
  int64_t shortest(const std::set<const nn::Parameter*>& counted) const;
  /// Of every weight whose rows (dimension 0) make outputs of the network, with nothing but sums,
  /// norms and activations behind them: 1 for the rows that do.
  std::map<const nn::Parameter*, std::vector<uint8_t>> output_rows() const;

 private:
  friend class FlowReader;

  /// How a layer's outputs depend on its inputs.
  enum class Rule : uint8_t {
    Matrix,      ///< through weight(output, input, ..), of groups apart
    PerChannel,  ///< each output through its own input and weight(channel, ..)
    Whole,       ///< every output through all weights
  };
  struct Weight {
    std::string name;
    const nn::Parameter* parameter = nullptr;
  };
  /// One call of a layer that has prunable weights.
  struct Call {
    Rule rule = Rule::Matrix;
    std::vector<Weight> weights;
    int64_t groups = 1;
    std::vector<int32_t> in;  // nodes, or kNoNode
    int64_t outs = 0;
  };
  /// Something that depends on the input if any of `from` does, or output `out` of `call`. Nodes
  /// refer to earlier ones only. Without any of these: the input itself.
  struct Node {
    std::vector<int32_t> from;
    int32_t call = -1;
    int32_t out = 0;
  };
  /// Masks, and what they leave of each call.
  class Kept;

  static constexpr int32_t kNoNode = -1;

  /// Remembers what the network is without masks; the trace has ended.
  void settle();
  std::vector<uint8_t> reached(const Kept& kept) const;
  std::vector<uint8_t> leading(const Kept& kept) const;
  std::vector<std::string> ends_of_ways(const Kept& kept,
                                        const std::vector<uint8_t>& reached,
                                        const std::vector<int64_t>& lost) const;
  std::vector<uint8_t> idle(const std::vector<uint8_t>& reached,
                            const std::vector<uint8_t>& leading) const;
  std::vector<std::string> names_of(const std::vector<uint8_t>& calls) const;

  std::vector<Node> nodes_;
  std::vector<Call> calls_;
  std::vector<std::vector<int32_t>> outputs_;  // the nodes of each
  std::vector<uint8_t> dense_;                 // outputs that depend on the input without masks
  std::vector<uint8_t> dense_idle_;            // calls through which nothing passes even then
  bool connected_ = false;
};

/// Runs `model` in eval mode on `input` (one sample: images or tokens) and returns its paths.
/// Nothing is changed. Throws ShapeError unless the batch size is 1.
FlowGraph trace_flow(nn::Module& model, const Variable& input);

}  // namespace espalier::prune
