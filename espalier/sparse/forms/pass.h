// SPDX-License-Identifier: Apache-2.0
/// Which pass of a layer a kernel is chosen for.
#pragma once

#include <cstdint>

namespace espalier::sparse {

/// The forward pass, or the gradients (both, or either).
enum class Pass : uint8_t { Forward, Backward };

}  // namespace espalier::sparse
