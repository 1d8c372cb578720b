// SPDX-License-Identifier: Apache-2.0
/// ForwardObserver: sees every call of every module while it is installed. What summaries, MAC
/// counting and the trace for structured pruning are made of; modules know nothing of them.
#pragma once

#include <espalier/nn/module.h>

namespace espalier::nn {

/// Told of every `Module::operator()` of this thread, parts before the module that holds them.
class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  /// `module` was called with `input` and returned `output`. Called after forward.
  virtual void on_forward(Module& module, const Variable& input, const Variable& output) = 0;
};

/// Installs an observer for this thread while it lives. Scopes nest: all installed observers are
/// told, the innermost first.
class ObserverScope {
 public:
  explicit ObserverScope(ForwardObserver& observer);
  ~ObserverScope();
  ObserverScope(const ObserverScope&) = delete;
  ObserverScope& operator=(const ObserverScope&) = delete;

 private:
  friend class Module;
  ForwardObserver& observer_;
  ObserverScope* outer_;
};

}  // namespace espalier::nn
