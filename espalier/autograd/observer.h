// SPDX-License-Identifier: Apache-2.0
/// OpObserver: sees every op of its thread, with attributes, inputs and output, recorded or not.
/// For tracing the structure of a network (nn/graph); it changes nothing.
#pragma once

#include <vector>

#include <espalier/autograd/op_attributes.h>
#include <espalier/autograd/variable.h>

namespace espalier {

/// An op that has just run.
struct ObservedOp {
  const char* name;                ///< as in `record()`
  const OpAttributes& attributes;  ///< what it was called with
  /// Shares its state with the Variable that the op returns, so a kept copy identifies it later.
  const Variable& output;
  const std::vector<Variable>& inputs;  ///< some may be undefined
};

/// Called after each op. Ops that the observer runs itself are not observed.
class OpObserver {
 public:
  virtual ~OpObserver() = default;
  /// After the op ran.
  virtual void op(const ObservedOp& op) = 0;
};

/// While it lives, ops of this thread go to `observer` (null: to nobody); then to the previous one
/// again.
class OpObserverScope {
 public:
  /// Null: nobody sees the ops.
  explicit OpObserverScope(OpObserver* observer);
  ~OpObserverScope();
  OpObserverScope(const OpObserverScope&) = delete;
  OpObserverScope& operator=(const OpObserverScope&) = delete;

 private:
  OpObserver* previous_;
};

/// True while an observer listens in this thread: whoever fuses ops should then run them one by
/// one.
bool is_observed();

namespace detail {
/// What the op that is recorded next was called with.
void tell_attributes(OpAttributes attributes);
/// For op files, right before `record()`: tells the thread's observer, if any, what `make()` gives.
template <class Make>
void describe_op(Make make) {
  if (is_observed()) tell_attributes(make());
}
/// Tells the thread's observer, if any.
void observe_op(const char* name, const Variable& output, const std::vector<Variable>& inputs);
}  // namespace detail

}  // namespace espalier
