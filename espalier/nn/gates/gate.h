// SPDX-License-Identifier: Apache-2.0
/// Gate: what the grains of gates share. The weights stay whole; each input uses a part of them.
/// What a gate decides by is decision.h; putting gates on a network is attach.h; training them is
/// prune/methods/runtime.
///
///   in training or while traced   all is computed, what is gated off is multiplied by zero
///   in evaluation                 what is gated off is not computed (float32, no recording), one
///                                 sample at a time in planes; fastest as a compiled plan, where
///                                 sixteen may share what any of them chose of the channels
///
/// Both give the same numbers up to rounding. In evaluation the decisions for a sample don't depend
/// on the other samples of its batch.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <espalier/nn/gates/decision.h>

namespace espalier::nn {

/// A grain derives from it beside its form.
class Gate {
 public:
  virtual ~Gate() = default;
  /// What it decides by; not null.
  const std::shared_ptr<Decision>& decision() const { return decision_; }
  /// The newest decision that has a price, with its tape; then forgotten.
  Decided take_decided();

 protected:
  /// Throws ValueError for null.
  explicit Gate(std::shared_ptr<Decision> decision);
  /// Decided::open of x; a decision with a price is kept.
  Variable decide(const Variable& x);
  /// Lets the newest decision, where it is kept, look at the layer's output.
  void show(const Variable& y);
  /// The kind of decision, as a word of descriptions.
  std::map<std::string, std::string> decision_word() const;

  std::shared_ptr<Decision> decision_;  ///< visited by the grain

 private:
  Decided newest_;
};

/// The decision that a gate's description names, `otherwise` where it names none.
std::shared_ptr<Decision> described_decision(const PartDescription& description,
                                             const std::string& otherwise,
                                             const DecisionPlace& place);

/// True when a gate in evaluation may leave out what is gated off: nobody records or traces.
bool may_skip(const Variable& x);

}  // namespace espalier::nn
