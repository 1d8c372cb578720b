// SPDX-License-Identifier: Apache-2.0
/// OpObserver: sees every op of its thread, with inputs and output, recorded or not. For tracing
/// the structure of a network; it changes nothing.
#pragma once

#include <initializer_list>
#include <vector>

#include <espalier/autograd/variable.h>

namespace espalier {

/// Called after each op. Ops that the observer runs itself are not observed.
class OpObserver {
 public:
  virtual ~OpObserver() = default;
  /// `name` as in `record()`. `backward` is valid during the call. `output` shares its state with
  /// the Variable that the op returns, so a kept copy identifies it later.
  virtual void op(const char* name,
                  const Variable& output,
                  const std::vector<Variable>& inputs,
                  const BackwardFn& backward) = 0;
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

/// The numbers that the observed op was called with beside its inputs, in the order that its file
/// tells them (conv2d: stride, padding, dilation, each h and w, groups; pools: kernel, stride,
/// padding, dilation, each h and w, ceil_mode, count_include_pad; clamp: low, high); empty for ops
/// that tell none. For use inside of `OpObserver::op`.
const std::vector<double>& observed_settings();

/// True while an observer listens in this thread: whoever fuses ops should then run them one by
/// one.
bool is_observed();

namespace detail {
/// Right before `record()`: tells the thread's observer, if any, what the op was called with.
void observe_settings(std::initializer_list<double> settings);
/// Tells the thread's observer, if any.
void observe_op(const char* name,
                const Variable& output,
                const std::vector<Variable>& inputs,
                const BackwardFn& backward);
}  // namespace detail

}  // namespace espalier
