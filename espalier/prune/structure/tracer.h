// SPDX-License-Identifier: Apache-2.0
/// Follows one sample through a network and labels every element of every activation with its
/// channel. The work behind channel_graph.h; not a public interface.
#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include <espalier/nn/module/trace.h>
#include <espalier/prune/structure/labels.h>
#include <espalier/prune/structure/op_rules.h>

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

/// A layer as the tracer saw it; labels are not final until the trace ends.
struct TracedLayer {
  std::string name;
  nn::Module* module = nullptr;
  std::vector<int32_t> in;
  std::vector<int32_t> out;
};

/// Listens to one forward pass.
class ChannelTracer : public nn::TraceListener {
 public:
  explicit ChannelTracer(nn::Module& model);

  /// Labels the network's input: a frozen channel per entry of its channel dimension.
  void begin(const Variable& input);
  /// Freezes the channels of the network's output.
  void end(const Variable& output);

  void enter(nn::Module& module, const Variable& input) override;
  void also_reads(nn::Module& module, const Variable& input) override;
  void leave(nn::Module& module, const Variable& input, const Variable& output) override;
  void op(const char* name,
          const Variable& output,
          const std::vector<Variable>& inputs,
          const BackwardFn& backward) override;

  ChannelLabels labels;
  std::vector<TracedLayer> layers;

 private:
  using Operands = std::vector<const LabelledValue*>;

  const LabelledValue* find(const Variable& value) const;
  void store(const Variable& value, LabelledValue labelled);
  TracedLayer& layer_of(nn::Module& module);

  void trace_layer(nn::Module& module, const Variable& input, const Variable& output);
  LabelledValue elementwise(OpRule rule,
                            const std::string& name,
                            const Variable& output,
                            const std::vector<Variable>& inputs,
                            const Operands& operands);
  LabelledValue movement(const std::string& name,
                         const Variable& output,
                         const std::vector<Variable>& inputs,
                         const Operands& operands,
                         const BackwardFn& backward);
  LabelledValue reduction(const std::string& name,
                          const Variable& output,
                          const std::vector<Variable>& inputs,
                          const Operands& operands,
                          const BackwardFn& backward);
  LabelledValue pool(const Variable& output, const LabelledValue& input);
  LabelledValue frozen(const std::string& reason, const Variable& output, const Operands& operands);
  void freeze(const LabelledValue& value, const std::string& reason);
  /// One label per channel, merged over all elements of the channel.
  std::vector<int32_t> per_channel(const LabelledValue& value, int dim);

  std::unordered_map<const nn::Module*, std::string> names_;
  std::unordered_map<const nn::Module*, size_t> index_;
  std::unordered_map<const VariableState*, LabelledValue> values_;
  // Values stay alive, so that no new one gets an old one's address.
  std::vector<Variable> alive_;
  int inside_layer_ = 0;
  nn::CallCheck check_;
};

/// The dimension of an activation that counts channels: 1 of planes, else the last.
int channel_dim(const Shape& shape);
/// The same as a layer of this coupling has it.
int channel_dim(const Shape& shape, const nn::ChannelCoupling& coupling);
/// The channel, along `dim`, of an element given by its row-major number.
int64_t channel_of(const Shape& shape, int dim, int64_t element);

}  // namespace espalier::prune
