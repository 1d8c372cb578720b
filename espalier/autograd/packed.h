// SPDX-License-Identifier: Apache-2.0
/// What ops keep for their backward functions in half of the memory: values that ops computed lie
/// there as bfloat16 (core/kernels/bfloat16.h) and are made float32 again when they are asked for.
/// Forward passes don't change; gradients are those at the rounded values.
#pragma once

#include <cstdint>
#include <memory>

#include <espalier/autograd/variable.h>

namespace espalier {

/// How ops keep what they computed for backward functions.
enum class SavedAs : uint8_t {
  AsTheyAre,  ///< handles to the tensors
  BFloat16    ///< float32 of 1024 elements and more: rounded copies
};
/// How ops of this thread do it now; at first AsTheyAre.
SavedAs saved_as();

/// While it lives, ops of this thread keep values so. Inputs of a network and parameters, which
/// exist anyway, are kept as they are; weights that ops computed from parameters are rounded too.
class SavedAsScope {
 public:
  /// The destructor restores what was set before.
  explicit SavedAsScope(SavedAs how);
  ~SavedAsScope();
  SavedAsScope(const SavedAsScope&) = delete;
  SavedAsScope& operator=(const SavedAsScope&) = delete;

 private:
  SavedAs previous_;
};

/// A float32 tensor as bfloat16. One thread at a time may use it.
class PackedTensor {
 public:
  /// Of a contiguous float32 tensor.
  explicit PackedTensor(const Tensor& x);

  /// Of the tensor.
  const Shape& shape() const { return shape_; }
  /// Of the tensor.
  Layout layout() const { return layout_; }
  /// As float32: made by the first call, and kept as long as this lives.
  const Tensor& tensor() const;

 private:
  Shape shape_;
  Layout layout_;
  Tensor bits_;
  mutable Tensor made_;
};

/// What stands for the value of `variable` in memory while ops keep values as bfloat16: one for all
/// that keep it. Null where it stays as it is.
std::shared_ptr<const PackedTensor> packed(const Variable& variable);

/// Another handle, tied to the same op, to what `packed` gives; undefined where that is null.
Variable packed_twin(const Variable& variable);

}  // namespace espalier
