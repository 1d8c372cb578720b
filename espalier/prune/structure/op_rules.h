// SPDX-License-Identifier: Apache-2.0
/// What ops do with channels, by their names on the tape. Not a public interface. To teach the
/// channel graph a new op, add its name to the list that fits; an op in no list freezes its inputs.
#pragma once

#include <cstdint>
#include <string_view>

namespace espalier::prune {

/// How an op's output elements come from its input elements.
enum class OpRule : uint8_t {
  ZeroToZero,   ///< element by element, f(0) = 0: relu, neg, tanh
  Elementwise,  ///< element by element, f(0) is a constant: sigmoid, exp
  Clamp,        ///< element by element, f(0) = 0 when the limits enclose 0
  Sum,          ///< element by element, 0 when all operands are: add, sub, maximum
  Product,      ///< element by element, 0 when one operand is: mul
  Quotient,     ///< element by element, 0 when the first operand is
  Movement,     ///< each input element goes to at most one place: reshape, slice, concat, pad
  Expand,       ///< input elements are repeated along dimensions of size 1
  Pool,         ///< (N,C,H,W), each channel on its own
  Reduction,    ///< each input element goes into exactly one output element: sum, mean
  Unknown,
};

/// The rule of an op.
OpRule op_rule(std::string_view name);

}  // namespace espalier::prune
