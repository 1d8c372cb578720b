// SPDX-License-Identifier: Apache-2.0
/// A network from the description in a file, which may be hostile. Not a public interface.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include <espalier/core/storage_limit.h>
#include <espalier/nn/models/registry.h>

namespace espalier::nn::detail {

/// `model_of_description` for a file of `file_bytes` bytes. So that a small file can't ask for any
/// amount of memory, the network as it is before channels are removed from it may take 256 MiB, or
/// 256 times the file if that is more; IoError beyond.
inline SavedModel described_network(const std::string& description,
                                    const std::string& where,
                                    int64_t file_bytes) {
  constexpr int64_t kLeast = int64_t{1} << 28;
  constexpr int64_t kPerByte = 256;
  const StorageLimit limit(std::max(kLeast, kPerByte * file_bytes));
  return model_of_description(description, where);
}

}  // namespace espalier::nn::detail
