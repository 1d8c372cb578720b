// SPDX-License-Identifier: Apache-2.0
/// What max, min, argmax and argmin share. Not a public interface.
#pragma once

#include <optional>
#include <vector>

#include <espalier/autograd/variable.h>

namespace espalier::detail {

/// Which element is looked for; a NaN counts as either, so that it is not hidden.
enum class Extreme : uint8_t { Largest, Smallest };

/// The extreme element over `dims`; the gradient goes to its (first) place.
Variable extreme(
    const char* op, Extreme which, const Variable& a, const std::vector<int>& dims, bool keepdim);

/// Its position along `dim`, or among all elements; int64, plain.
Tensor extreme_position(
    const char* op, Extreme which, const Variable& a, std::optional<int> dim, bool keepdim);

}  // namespace espalier::detail
