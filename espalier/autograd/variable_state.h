// SPDX-License-Identifier: Apache-2.0
/// The inside of a Variable and the tape's access to its nodes. Not a public interface.
#pragma once

#include <memory>
#include <vector>

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
  WatchedTensor made;                           ///< the value that `pending` gave
  std::unique_ptr<const GatedGradient> gated;   ///< what is known of a gradient (pending.h)
  bool requires_grad = false;
  std::unique_ptr<Variable> grad;
  std::shared_ptr<Node> producer;
  std::vector<GradientHook> leaf_hooks;

  /// Makes `value` of `kept`, which may be written to from now on.
  void become_dense() {
    value = sparse::dense_from_kept(kept.values, *kept.support);
    kept = {};
  }
  /// Makes `value` of `pending`.
  void make_value() {
    value = pending->make();
    made = WatchedTensor(value);
  }
  /// Of the value, made dense or not.
  const Shape& shape() const { return kept.support ? kept.support->shape() : like().shape(); }
  /// A tensor of the value's shape, element type and layout, where it is not kept sparse.
  const Tensor& like() const { return pending && !value.defined() ? pending->like() : value; }
};

/// Lets the backward pass reach into nodes.
struct TapeAccess {
  static uint64_t sequence(const Node& node) { return node.sequence_; }
  static std::vector<GradientHook>& hooks(VariableState& state) {
    return state.producer ? state.producer->hooks_ : state.leaf_hooks;
  }
  static const std::vector<GradientHook>& hooks(const Node& node) { return node.hooks_; }
  static const BackwardFn& backward(const Node& node) { return node.backward_; }
  static const WatchedTensor& saved_output(const Node& node) { return node.saved_output_; }
  static bool released(const Node& node) { return node.released_; }
  static void release(Node& node) {
    node.backward_ = nullptr;
    node.saved_output_ = WatchedTensor();
    node.released_ = true;
  }
};

}  // namespace espalier
