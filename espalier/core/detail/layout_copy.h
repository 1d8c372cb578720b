// SPDX-License-Identifier: Apache-2.0
/// The transposition between plain and 16-lane memory, for elements of any size. Not a public
/// interface.
#pragma once

#include <cstdint>

#include <espalier/core/shape.h>

namespace espalier::detail {

/// Contiguous row-major `shape` at `from` to `Layout::Nchw16n` at `to`; padding lanes become zero.
void copy_to_lanes(const void* from, void* to, const Shape& shape, int64_t item_size);
/// The reverse.
void copy_from_lanes(const void* from, void* to, const Shape& shape, int64_t item_size);

}  // namespace espalier::detail
