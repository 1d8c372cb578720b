// SPDX-License-Identifier: Apache-2.0
/// StorageLimit: bounds the memory that tensors made in a scope may take.
#pragma once

#include <cstdint>

namespace espalier {

/// While it lives, tensors that this thread makes may take `nbytes` in all, those freed again
/// included; beyond that making one throws ValueError. For readers of files that say how much
/// memory they want. Limits nest: the narrower one holds.
class StorageLimit {
 public:
  /// Starts to count.
  explicit StorageLimit(int64_t nbytes);
  ~StorageLimit();
  StorageLimit(const StorageLimit&) = delete;
  StorageLimit& operator=(const StorageLimit&) = delete;

 private:
  int64_t outer_;
};

}  // namespace espalier
