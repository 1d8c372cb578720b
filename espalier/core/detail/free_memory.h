// SPDX-License-Identifier: Apache-2.0
/// How much memory this process may still take, which is not how much the machine has. Not a public
/// interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace espalier::detail {

/// Bytes that can still be taken: the least of what the machine has available (MemAvailable, no
/// swap) and of what the control group of this process and those above it have left, of version 1
/// (memory.limit_in_bytes) or 2 (memory.max); what files hold in memory counts as left. Nothing
/// where the system tells neither. `root` stands before all paths that are read.
std::optional<int64_t> free_memory(const std::filesystem::path& root = "/");

}  // namespace espalier::detail
