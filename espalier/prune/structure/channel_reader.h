// SPDX-License-Identifier: Apache-2.0
/// Follows one sample through the graph of a network and labels every element of every activation
/// with its channel. The work behind channel_graph.h; not a public interface.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include <espalier/nn/graph/graph.h>
#include <espalier/prune/structure/labels.h>

namespace espalier::prune {

/// Of an element that no layer or input of the network made.
inline constexpr int32_t kNoLabel = -1;

/// Labels of one activation: a channel per element, in logical row-major order.
struct LabelledValue {
  Shape shape;
  std::vector<int32_t> labels;
  /// The elements of a channel are 0 when all of its members' weights are.
  bool zero_when_removed = true;
};

/// A layer as the reader saw it; labels are not final until all is read.
struct ReadLayer {
  std::string name;
  nn::Module* module = nullptr;
  std::vector<int32_t> in;
  std::vector<int32_t> out;
  bool gates = true;  // of layers alone; see LayerChannels
};

/// Reads one graph.
class ChannelReader {
 public:
  /// Reads all of it. The input's channels are frozen, and the output's.
  explicit ChannelReader(const nn::NetworkGraph& graph);

  ChannelLabels labels;
  std::vector<ReadLayer> layers;  ///< in the order of their first call

 private:
  using Operands = std::vector<const LabelledValue*>;

  const LabelledValue* find(int value) const;
  void store(int value, LabelledValue labelled) { values_[value] = std::move(labelled); }
  const Shape& shape_of(int value) const { return graph_.value(value).shape; }
  ReadLayer& layer_of(const nn::GraphCall& call);

  void read_input();
  void read_call(const nn::GraphCall& call);
  void read_layer(const nn::GraphCall& call);
  void read_op(const nn::GraphOp& op);
  LabelledValue elementwise(const nn::GraphOp& op, const Operands& operands);
  LabelledValue movement(const nn::GraphOp& op, const Operands& operands);
  bool can_change_sizes(int call) const;
  void freeze_counted(const nn::GraphOp& op, const Operands& operands);
  LabelledValue reduction(const nn::GraphOp& op, const LabelledValue& operand);
  LabelledValue pool(const nn::GraphOp& op, const LabelledValue& operand);
  LabelledValue frozen(const std::string& reason, const Shape& shape, const Operands& operands);
  void freeze(const LabelledValue& value, const std::string& reason);
  /// Whether all that comes of a value is a factor of channels that are zero without it.
  bool only_gates(int value);
  /// Who reads each value.
  void find_readers(const std::vector<nn::GraphStep>& steps);
  /// One label per channel, merged over all elements of the channel.
  std::vector<int32_t> per_channel(const LabelledValue& value, int dim);
  /// All elements of a channel with its label.
  static LabelledValue spread(const Shape& shape, const std::vector<int32_t>& channels, int dim);

  const nn::NetworkGraph& graph_;
  std::unordered_map<const nn::Module*, size_t> index_;
  std::unordered_map<int, LabelledValue> values_;
  std::unordered_map<int, std::vector<nn::GraphStep>> readers_;  // of a value
  std::unordered_map<int, int>
      gate_of_;  // of a product: its factor that is not zero with the other
  std::unordered_map<int, bool> only_gates_;  // what is known
};

/// The dimension of an activation that counts channels: 1 of planes, else the last.
int channel_dim(const Shape& shape);
/// The same as a layer of this coupling has it.
int channel_dim(const Shape& shape, const nn::ChannelCoupling& coupling);
/// The channel, along `dim`, of an element given by its row-major number.
int64_t channel_of(const Shape& shape, int dim, int64_t element);

}  // namespace espalier::prune
