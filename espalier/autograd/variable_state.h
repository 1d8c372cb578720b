// SPDX-License-Identifier: Apache-2.0
/// The inside of a Variable and the tape's access to its nodes. Not a public interface.
#pragma once

#include <memory>
#include <vector>

#include <espalier/autograd/packed.h>
#include <espalier/autograd/pending.h>
#include <espalier/autograd/variable.h>
#include <espalier/sparse/kept_values.h>

namespace espalier {

/// Values at the kept positions of a support; without a support there are none.
struct KeptPart {
  Tensor values;
  std::shared_ptr<const sparse::Support> support;
};

/// What a Variable's handles share.
struct VariableState {
  Tensor value;
  KeptPart kept;  ///< stands for `value` until somebody asks for it (kept_gradient.h)
  std::shared_ptr<const PendingValue> pending;  ///< so does this, and stays (pending.h)
  bool lends_pending = false;  ///< its op gave `pending`, whose input nobody needs after it
  WatchedTensor made;          ///< the value that `pending` gave
  std::shared_ptr<const PackedTensor> packed;  ///< the value in less memory (packed.h)
  WatchedTensor packed_from;                   ///< the value that was packed
  std::unique_ptr<const GatedGradient> gated;  ///< what is known of a gradient (pending.h)
  bool requires_grad = false;
  std::unique_ptr<Variable> grad;
  std::shared_ptr<Node> producer;
  std::vector<GradientHook> leaf_hooks;

  VariableState() = default;
  ~VariableState() {
    if (lends_pending && pending) pending->let_go();
  }
  VariableState(const VariableState&) = delete;
  VariableState& operator=(const VariableState&) = delete;

  /// Makes `value` of `kept`, which may be written to from now on.
  void become_dense() {
    value = sparse::dense_from_kept(kept.values, *kept.support);
    kept = {};
  }
  /// Makes `value` of what stands for it.
  void make_value() {
    if (packed) {
      value = packed->tensor();
    } else if (pending) {
      value = pending->make();
      made = WatchedTensor(value);
    }
  }
  /// Of the value, made dense or not.
  const Shape& shape() const { return kept.support ? kept.support->shape() : form().shape; }
  /// Of the value, where it is not kept sparse.
  Variable::Form form() const {
    if (!value.defined()) {
      if (packed) return {packed->shape(), DType::F32, packed->layout()};
      if (pending) return {pending->shape(), pending->dtype(), pending->layout()};
    }
    return {value.shape(), value.dtype(), value.layout()};
  }
};

/// Lets the backward pass reach into nodes.
struct TapeAccess {
  static uint64_t sequence(const Node& node) { return node.sequence_; }
  static std::vector<GradientHook>& hooks(VariableState& state) {
    return state.producer ? state.producer->hooks_ : state.leaf_hooks;
  }
  static const std::vector<GradientHook>& hooks(const Node& node) { return node.hooks_; }
  static const BackwardFn& backward(const Node& node) { return node.backward_; }
  /// Keeps the value of an op's result in its node.
  static void save_output(const Variable& result) {
    SavedOutput& saved = result.state()->producer->saved_output_;
    saved.packed = packed(result);
    if (!saved.packed) saved.tensor = WatchedTensor(result.state()->value);
  }
  static const SavedOutput& saved_output(const Node& node) { return node.saved_output_; }
  static bool released(const Node& node) { return node.released_; }
  static void release(Node& node) {
    node.backward_ = nullptr;
    node.saved_output_ = {};
    node.released_ = true;
  }
};

}  // namespace espalier
