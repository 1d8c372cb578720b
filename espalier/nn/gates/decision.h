// SPDX-License-Identifier: Apache-2.0
/// Decision: what of a layer a sample needs. A gate is a grain (channel_gate.h, position_gate.h,
/// block_gate.h), which owns the kernels that skip and the counting, with one of these. A new one
/// is a class of about twenty lines: parameters, `decide`, a line in decisions.inc.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <espalier/nn/forms/attached.h>
#include <espalier/nn/gates/block_rule.h>
#include <espalier/nn/gates/kernels/channel_lanes.h>

namespace espalier::nn {

/// What was decided for a batch.
struct Decided {
  /// Not negative; 0: closed. Channels: (N,K); positions: (N,K,P,Q), ones and zeros; a block:
  /// (N,1).
  Variable open;
  /// What the method that trains the gate puts a price on, with its tape; may be undefined.
  Variable price = {};
  /// What the decision looked at of the layer's output (`Decision::look`); may be undefined.
  Variable seen = {};
};

/// A part of a gate; its members are named as the gate's own (`conv1.gate.weight`).
class Decision : public Attached {
 public:
  /// Of x: the layer's input (N,C,H,W), or the partial sums (N,K,P,Q) of a position gate. For one
  /// sample it must not depend on the others, but in training.
  virtual Decided decide(const Variable& x) = 0;
  /// True when `open` takes the place of the scale of the batch norm behind, which stands still.
  virtual bool is_scale() const { return false; }
  /// A decision on channels that kernels and inference plans can take by themselves.
  virtual std::optional<detail::ChannelGateParameters> channel_rule() const { return {}; }
  /// A decision on positions that they can take: open from these partial sums on, (K).
  virtual std::optional<std::vector<float>> least_partial_sums() const { return {}; }
  /// A decision on a block, in evaluation, that inference plans can take.
  virtual std::optional<BlockRule> block_rule() const { return {}; }
  /// What the method that trains the gate wants of what the layer computes without it: y
  /// (N,K,P,Q), behind the norm; with its tape or without. Asked in training by gates of channels,
  /// of decisions with a price.
  virtual Variable look(const Variable& /*y*/) { return {}; }

 protected:
  /// Decided::open.
  Variable forward(const Variable& x) override { return decide(x).open; }
};

/// What a decision is for.
struct DecisionPlace {
  int64_t inputs = 0;  ///< channels of x
  int64_t units = 0;   ///< channels to be decided on; 1 for a block
};
/// One kind of decision.
struct DecisionKind {
  std::string name;  ///< `Attached::kind()`
  /// An equal decision, with values still to be loaded. Throws ValueError for settings that do not
  /// fit.
  std::function<std::shared_ptr<Decision>(const DecisionPlace&, const PartDescription&)> make;
};
/// The kind of a name: of decisions.inc or registered. Throws ValueError naming those that there
/// are.
const DecisionKind& decision_kind(const std::string& name);
/// Makes a kind of a program's own known to saved networks. Not thread-safe. Throws ValueError for
/// a name that is taken.
void register_decision_kind(DecisionKind kind);

}  // namespace espalier::nn
