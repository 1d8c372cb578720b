// SPDX-License-Identifier: Apache-2.0
/// Tracing: what a network does with one input, as a list of layer calls, or as events for whoever
/// builds more from them (the channel graph of prune/structure). Nothing is trained or changed.
#pragma once

#include <string>
#include <unordered_map>
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

/// Receives every op of its thread too, while a TraceScope lives.
class TraceListener : public OpObserver, public CallListener {
 public:
  /// Between modules, and inside of them.
  void op(const char*, const Variable&, const std::vector<Variable>&, const BackwardFn&) override {}
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

/// While it lives, `listener` sees this thread's module calls and ops. A trace is no work: a layer
/// that runs densely in it is no error of `require_sparse`.
class TraceScope {
 public:
  /// Listens from here on, to this thread.
  explicit TraceScope(TraceListener& listener) : calls_(listener), ops_(&listener) {}
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  CallScope calls_;
  OpObserverScope ops_;
  sparse::DryRunScope dry_run_;
};

/// Finds layers that run past `layer(x)`: an op that reads a parameter of a layer with channels
/// while none of the layers that have it is being called. What a tracer would say of such a network
/// (counts, channels, a plan) leaves the layer out. A tracer passes on what it sees.
class CallCheck {
 public:
  /// Of the parameters that `model` has now.
  explicit CallCheck(Module& model);
  void enter(const Module& module) { open_.push_back(&module); }  ///< as CallListener's
  void leave() { open_.pop_back(); }                              ///< as CallListener's
  /// Throws ValueError naming the layer.
  void op(const char* name, const std::vector<Variable>& inputs) const;

 private:
  struct Owner {
    const Module* module;
    std::string name;
  };
  std::unordered_map<const VariableState*, std::vector<Owner>> owners_;
  std::vector<const Module*> open_;
};

/// One call of a module that has channels of its own (`channel_coupling()` names some).
struct LayerCall {
  std::string name;          ///< dotted, as in the state dict
  Module* module = nullptr;  ///< the layer that was called
  Shape input;               ///< with the batch dimension
  Shape output;              ///< with the batch dimension
  /// MACs that its kernels performed for the whole batch, without those of layers inside of it.
  int64_t macs = 0;
};

/// Runs `model` in eval mode on `input` without recording, restores its training flags, and returns
/// the calls of its layers in order (a shared layer appears at each use).
std::vector<LayerCall> trace_layers(Module& model, const Variable& input);

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
