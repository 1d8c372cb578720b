// SPDX-License-Identifier: Apache-2.0
/// Parameter: a trainable tensor and which of its entries exist. The mask is a field, not a hook:
/// names never change, optimizers know it, copies and files keep it.
#pragma once

#include <memory>

#include <espalier/autograd/variable.h>
#include <espalier/sparse/support.h>

namespace espalier::nn {

/// A trainable tensor with an optional mask. Copying copies the handle (as of a Tensor); `clone()`
/// is deep. Invariant: the value is zero wherever the mask is.
struct Parameter {
  /// Undefined.
  Parameter() = default;
  /// A dense parameter that wants a gradient.
  explicit Parameter(Tensor value);

  Variable value;  ///< The tensor, a leaf that wants a gradient.
  /// Which entries exist; null when all do. Replaced as a whole by `set_mask`.
  std::shared_ptr<const sparse::Support> support;
  /// Which gradient the backward pass returns for masked entries.
  sparse::GradRequest grad_request = sparse::GradRequest::Masked;
  /// False: optimizers apply no weight decay to it, from the next step on (thresholds of gates,
  /// weights whose decay is part of a penalty).
  bool decays = true;

  /// False for a layer's bias that it does without.
  bool defined() const { return value.defined(); }
  /// Of the value.
  const Shape& shape() const { return value.shape(); }
  /// Entries, masked or not.
  int64_t numel() const { return value.numel(); }
  /// Entries that exist.
  int64_t nnz() const { return support ? support->nnz() : numel(); }
  /// True when it has a mask, even one that keeps all.
  bool masked() const { return support != nullptr; }
  /// The mask, uint8 in the value's shape; undefined when dense.
  Tensor mask() const { return support ? support->mask() : Tensor(); }
  /// Sets the mask (uint8, 0/1, the value's shape), and the value and gradient to zero where it is
  /// 0. An undefined mask makes the parameter dense. Throws ShapeError, TypeError, ValueError
  /// before anything is changed.
  void set_mask(const Tensor& mask);
  /// The same with a support that exists already; null makes the parameter dense.
  void set_support(std::shared_ptr<const sparse::Support> new_support);
  /// Sets value and gradient to zero where the mask is 0: after somebody wrote to the value.
  void apply_mask();
  /// What the layer passes to its op.
  sparse::WeightSparsity sparsity() const { return {support, grad_request}; }
  /// A deep copy, without the gradient.
  Parameter clone() const;
};

}  // namespace espalier::nn
