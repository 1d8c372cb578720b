// SPDX-License-Identifier: Apache-2.0
/// Listening to the calls of modules as they happen, for what can't be read from a network's graph
/// (nn/graph) afterwards: to look at data that is gone by then, to change something before a layer
/// runs, or to stop a run. And evaluation for as long as a scope lives.
#pragma once

#include <utility>
#include <vector>

#include <espalier/autograd/observer.h>
#include <espalier/nn/module/module.h>
#include <espalier/sparse/choice/chooser.h>

namespace espalier::nn {

/// Receives, in order, every module call of its thread while a CallScope or TraceScope lives.
class CallListener {
 public:
  virtual ~CallListener() = default;
  /// Before `module` runs on `input`.
  virtual void enter(Module& module, const Variable& input) = 0;
  /// After `enter`, for each further input of a call with several (attention's keys and values).
  virtual void also_reads(Module&, const Variable&) {}
  /// After it returned `output`. Calls nest.
  virtual void leave(Module& module, const Variable& input, const Variable& output) = 0;
};

/// While it lives, `listener` sees this thread's module calls. Unlike in a trace nobody sees the
/// ops, so that everything is computed as without it.
class CallScope {
 public:
  /// Listens from here on, to this thread.
  explicit CallScope(CallListener& listener);
  ~CallScope();
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

 private:
  CallListener* previous_;
};

/// While it lives, `listener` sees this thread's module calls, and nothing is fused: a batch norm
/// that is otherwise computed together with what follows it is called by itself. A trace is no
/// work: a layer that runs densely in it is no error of `require_sparse`.
class TraceScope {
 public:
  /// Listens from here on, to this thread.
  explicit TraceScope(CallListener& listener);
  /// `ops` sees the ops between modules and inside of them. For the tracer (nn/graph/tracer.h).
  TraceScope(CallListener& listener, OpObserver& ops) : calls_(listener), ops_(&ops) {}
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  CallScope calls_;
  OpObserverScope ops_;
  sparse::DryRunScope dry_run_;
};

/// Puts a whole model into eval mode while it lives; then every module has its own flag again.
class EvalScope {
 public:
  /// Remembers all flags and sets evaluation.
  explicit EvalScope(Module& model);
  ~EvalScope();
  EvalScope(const EvalScope&) = delete;
  EvalScope& operator=(const EvalScope&) = delete;

 private:
  std::vector<std::pair<Module*, bool>> flags_;
};

}  // namespace espalier::nn
