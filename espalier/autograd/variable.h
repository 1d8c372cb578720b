// SPDX-License-Identifier: Apache-2.0
/// Variable: a tensor that remembers how it was made, and the tape behind it.
///
/// An op computes its value and calls `record()` with its inputs and a backward function. Backward
/// functions are written in ops on Variables, so with `create_graph` the gradient is itself
/// recorded and any order of derivative follows.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <espalier/core/tensor.h>
#include <espalier/core/watched_tensor.h>

namespace espalier {

class Node;
class PackedTensor;
struct VariableState;

/// A hook gets a gradient and returns the one to use instead (or an undefined Variable to keep it).
class Variable;
/// A function of a gradient; see `Variable::register_hook`.
using GradientHook = std::function<Variable(const Variable& gradient)>;

/// A tensor in a computation. Copying copies the handle.
class Variable {
 public:
  /// Undefined.
  Variable() = default;
  /// A leaf. Throws TypeError when `requires_grad` and the element type is not floating.
  explicit Variable(Tensor value, bool requires_grad = false);

  /// False for a default-constructed variable.
  bool defined() const { return state_ != nullptr; }
  /// The tensor. Throws ValueError when undefined.
  const Tensor& value() const;
  /// For optimizers and initializers: writing here is not recorded. An op that saved the value for
  /// a backward pass that is still to come then throws there (saved.h).
  Tensor& value();
  /// Replaces the value of a leaf (same element type; shape may change). Throws ValueError
  /// otherwise.
  void set_value(Tensor value);

  /// Of the value.
  const Shape& shape() const { return form().shape; }
  /// Of the value.
  int rank() const { return form().shape.rank(); }
  /// Of the value; negative counts from the end.
  int64_t size(int d) const { return form().shape.size(d); }
  /// Of the value.
  int64_t numel() const { return form().shape.numel(); }
  /// Of the value.
  DType dtype() const { return form().dtype; }
  /// Of the value.
  Layout layout() const { return form().layout; }
  /// The value's only element. Throws ShapeError when there is not exactly one.
  double item() const { return value().item(); }

  /// True for leaves that want a gradient and everything computed from them while recording.
  bool requires_grad() const;
  /// Throws ValueError when this is not a leaf.
  void set_requires_grad(bool wanted);
  /// True when no recorded op made it.
  bool is_leaf() const;

  /// The gradient that `backward()` accumulated into this leaf; undefined if none.
  const Variable& grad() const;
  /// Replaces the accumulated gradient.
  void set_grad(Variable gradient);
  /// Forgets the accumulated gradient.
  void zero_grad();

  /// The same value, cut off from the tape.
  Variable detach() const;
  /// Calls `hook` whenever a gradient with respect to this variable is complete.
  void register_hook(GradientHook hook);

  /// Accumulates d(this)/d(leaf) into `grad()` of every leaf. Without `gradient` this must have
  /// exactly one element. Saved tensors are released unless `retain_graph`; a second pass then
  /// throws Error.
  void backward(const Variable& gradient = {}, bool retain_graph = false) const;

  /// Identity of the variable on the tape.
  const std::shared_ptr<VariableState>& state() const { return state_; }
  /// A handle to a state that exists.
  explicit Variable(std::shared_ptr<VariableState> state) : state_(std::move(state)) {}

 private:
  /// What is known of a value that need not exist (pending.h, packed.h).
  struct Form {
    const Shape& shape;
    DType dtype;
    Layout layout;
  };
  Form form() const;
  friend struct VariableState;

  std::shared_ptr<VariableState> state_;
};

/// What `grad()` does besides differentiating.
struct GradOptions {
  /// Record the gradient's own computation, so that it can be differentiated again. Implies
  /// retain_graph.
  bool create_graph = false;
  bool retain_graph = false;  ///< keep what the tape saved, so that it can be walked again
  /// Return undefined Variables for inputs that the outputs don't depend on, instead of throwing.
  bool allow_unused = false;
  /// d(something)/d(outputs); empty for ones (outputs must then have one element each).
  std::vector<Variable> grad_outputs = {};
};

/// Gradients of the sum of `outputs` with respect to `inputs` (leaves or intermediate results).
/// `grad()` of leaves is not touched. Throws ValueError for an unused input unless allowed.
std::vector<Variable> grad(const std::vector<Variable>& outputs,
                           const std::vector<Variable>& inputs,
                           const GradOptions& options = {});

/// True while ops are recorded (per thread; the default).
bool is_recording();

/// While it lives, ops of this thread are not recorded (or are, for `RecordingScope(true)`).
class RecordingScope {
 public:
  /// Sets whether ops are recorded; the destructor restores what was set before.
  explicit RecordingScope(bool recording);
  ~RecordingScope();
  RecordingScope(const RecordingScope&) = delete;
  RecordingScope& operator=(const RecordingScope&) = delete;

 private:
  bool previous_;
};
/// No recording while it lives: for evaluation, optimizers and metrics.
class NoGrad : public RecordingScope {
 public:
  /// As RecordingScope(false).
  NoGrad() : RecordingScope(false) {}
};

// --- for op files --------------------------------------------------------------------------------

/// What a backward function gets.
struct BackwardContext {
  const Variable& grad;            ///< d(loss)/d(output), in the output's shape and element type
  const Variable& output;          ///< the op's own output; defined only with `kSaveOutput`
  const std::vector<bool>& needs;  ///< which inputs want a gradient
  /// Per input the sum of the gradients that came for it before this one, where nobody else sees
  /// that memory; else undefined. A backward function that returns such a tensor has added its own
  /// part to it.
  const std::vector<Variable>& gathered;
  /// Per input whether its gradient is seen by the op that made it and by nobody else: it has no
  /// hook and was not asked for.
  const std::vector<bool>& unseen;
  /// Nobody else sees the memory of `grad`: a backward function may write its result there.
  bool owns_grad = false;
};
/// Returns a gradient per input (undefined where not needed). Captures values as `Saved` (saved.h).
using BackwardFn = std::function<std::vector<Variable>(const BackwardContext&)>;

/// Whether the tape keeps the output for the backward function (sigmoid, exp, ..). A backward
/// function must not capture its own output: that would be a cycle.
enum class SaveOutput : uint8_t { No, Yes };

/// The result of an op: `value`, tied to `inputs` by `backward` when recording and any input wants
/// a gradient; else a constant. `name` is the op's name, for errors, traces and the dependency
/// graph.
Variable record(const char* name,
                Tensor value,
                std::vector<Variable> inputs,
                BackwardFn backward,
                SaveOutput save = SaveOutput::No);
/// True where `record()` would put an op of these inputs on the tape.
bool is_recorded(const std::vector<Variable>& inputs);

// --- for tracing ---------------------------------------------------------------------------------

/// An output that the tape keeps: as it is, or as bfloat16; or neither.
struct SavedOutput {
  WatchedTensor tensor = {};                        ///< as it is
  std::shared_ptr<const PackedTensor> packed = {};  ///< packed.h
};

/// One recorded op, as seen by the dependency graph and by tests. Owned by its output.
class Node {
 public:
  /// Where an input came from: another op, or a leaf that wants a gradient, or (neither) a
  /// constant.
  struct Edge {
    std::shared_ptr<Node> node;           ///< the op that made the input
    std::shared_ptr<VariableState> leaf;  ///< the leaf that wants a gradient
  };

  /// Made by `record()`.
  Node(const char* name, std::vector<Edge> inputs, BackwardFn backward);
  ~Node();

  /// The op's name.
  const char* name() const { return name_; }
  /// Where its inputs came from, in their order.
  const std::vector<Edge>& inputs() const { return inputs_; }

 private:
  friend struct TapeAccess;
  const char* name_;
  uint64_t sequence_;
  std::vector<Edge> inputs_;
  BackwardFn backward_;
  SavedOutput saved_output_;
  std::vector<GradientHook> hooks_;
  bool released_ = false;
};

/// The op that made a variable; null for leaves and constants.
std::shared_ptr<Node> producer(const Variable& variable);

}  // namespace espalier
