// SPDX-License-Identifier: Apache-2.0
/// Which element of an op's operand comes to which element of its output. Not a public interface.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <espalier/autograd/variable.h>

namespace espalier::prune {

/// For every element of `out`, the element of an operand of `shape` that broadcasting puts there.
std::vector<int64_t> broadcast_index(const Shape& out, const Shape& shape);

/// Where each element of each input goes, for ops whose gradient says so: the gradient of an output
/// filled with its own element numbers (from 1), divided by the gradient of ones. -1 where an
/// element goes nowhere. Nothing when the op is not of that kind; with `unit` the gradient of ones
/// must be 0 or 1.
std::optional<std::vector<std::vector<int64_t>>> destinations(const Variable& output,
                                                              size_t inputs,
                                                              const BackwardFn& backward,
                                                              bool unit);

}  // namespace espalier::prune
