// SPDX-License-Identifier: Apache-2.0
/// Saved: a value that a backward function captures. It throws when the value was changed in place
/// after the op ran, as the gradient would silently be that of another function. What an op
/// captures of its inputs is always of this type.
#pragma once

#include <espalier/autograd/variable.h>
#include <espalier/core/watched_tensor.h>

namespace espalier {

/// Reads like the Variable that it keeps. While nothing is recorded it watches nothing.
class Saved {
 public:
  /// Undefined.
  Saved() = default;
  /// An undefined variable gives an undefined Saved.
  explicit Saved(Variable variable);
  /// For indices, conditions, and what an op computed.
  explicit Saved(const Tensor& tensor) : Saved(Variable(tensor)) {}

  /// False when there is nothing.
  bool defined() const { return variable_.defined(); }
  /// The variable. Throws Error, with the name of the op whose backward function runs, when its
  /// value was changed or replaced.
  const Variable& get() const;
  /// As get().
  operator const Variable&() const { return get(); }
  /// The value, checked as by get().
  const Tensor& value() const { return get().value(); }

  /// Of the value; these need no check.
  const Shape& shape() const { return variable_.shape(); }
  /// Of the value.
  int rank() const { return variable_.rank(); }
  /// Of the value; negative counts from the end.
  int64_t size(int d) const { return variable_.size(d); }
  /// Of the value.
  DType dtype() const { return variable_.dtype(); }
  /// Of the value.
  Layout layout() const { return variable_.layout(); }

 private:
  Variable variable_;
  WatchedTensor watched_;  // watches nothing where nothing is recorded
};

namespace detail {

/// Throws Error naming the op whose backward function runs in this thread: a tensor `as` (for the
/// text) that it saved is not what it was.
[[noreturn]] void throw_changed(const Tensor& as);

/// While it lives, `name` is the op whose backward function runs in this thread.
class BackwardOf {
 public:
  explicit BackwardOf(const char* name);
  ~BackwardOf();
  BackwardOf(const BackwardOf&) = delete;
  BackwardOf& operator=(const BackwardOf&) = delete;

 private:
  const char* previous_;
};

}  // namespace detail
}  // namespace espalier
