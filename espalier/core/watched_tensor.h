// SPDX-License-Identifier: Apache-2.0
/// WatchedTensor: a tensor, and whether its elements changed in place since. Not a copy.
///
/// While a block of memory is watched, whoever asks for it to write (a Tensor that is not const:
/// `data()`, `raw()`, and what is built on them: `copy_`, `fill_`, loops) first leaves a digest of
/// the bytes that it may change. Whether they did change is found by comparing, so that reading
/// through such a pointer is no change. Nothing is computed while nobody asks to write. A pointer
/// that was taken before the watch began and is written through afterwards is not noticed.
#pragma once

#include <espalier/core/tensor.h>

namespace espalier {

/// Keeps a handle to the tensor. Copies watch since the same moment. Safe to use from many threads.
class WatchedTensor {
 public:
  /// Watches nothing.
  WatchedTensor() = default;
  /// Watches from now on; an undefined tensor is as none.
  explicit WatchedTensor(const Tensor& tensor);
  WatchedTensor(const WatchedTensor& other);               ///< since the same moment
  WatchedTensor(WatchedTensor&& other) noexcept;           ///< leaves one that watches nothing
  WatchedTensor& operator=(WatchedTensor other) noexcept;  ///< watches what `other` did
  ~WatchedTensor();

  /// The tensor, as it is now.
  const Tensor& tensor() const { return tensor_; }
  /// True when bytes in the range of the tensor's memory are not what they were.
  bool changed() const;
  /// True when `other` sees the same elements of the same memory.
  bool sees_the_same_as(const Tensor& other) const;

 private:
  Tensor tensor_;
  uint64_t since_ = 0;  // the storage's version at that time
};

}  // namespace espalier
