// SPDX-License-Identifier: Apache-2.0
/// What ops do with the elements of their operands, as their files tell it (`OpInfo`): which
/// elements come from which, and what a channel of zeros becomes. Pruning whole channels, plans and
/// the paths through a network read it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <espalier/autograd/op_attributes.h>
#include <espalier/core/shape.h>

namespace espalier {

/// How an op's output elements come from its input elements. Operands of elementwise ops broadcast.
enum class OpRule : uint8_t {
  Unsaid,       ///< nobody said: no op of the list may leave it at that
  ZeroToZero,   ///< element by element, f(0) = 0: relu, neg, tanh
  Elementwise,  ///< element by element, f(0) is a constant: sigmoid, exp
  Clamp,        ///< element by element, f(0) = 0 when `low` and `high` enclose 0
  Sum,          ///< element by element, 0 when all operands are: add, sub, maximum
  Product,      ///< element by element, 0 when one operand is: mul
  Quotient,     ///< element by element, 0 when the first operand is
  Movement,     ///< each output element is an input element or a constant: reshape, concat, pad
  Pool,         ///< (N,C,H,W), each channel on its own
  Reduction,    ///< over the dimensions `dims`, each on its own: sum
  Freezes,      ///< mixes channels, or does with them what no rule tells
  Composed,     ///< made of other ops, which tell it: mean
};

/// Where an element of an output comes from.
struct ElementSource {
  int32_t input = -1;  ///< which of the op's inputs; -1: the op puts in its attribute `value`, or 0
  int64_t element = 0;  ///< row-major in that input
  bool operator==(const ElementSource&) const = default;
};

/// The source of every element of a movement's output, row-major. `inputs`: the operands' shapes.
using Movement = std::function<std::vector<ElementSource>(
    const OpAttributes& attributes, const std::vector<Shape>& inputs, const Shape& output)>;

/// For every element of `out`, the element of an operand of `shape` that broadcasting puts there.
std::vector<int64_t> broadcast_index(const Shape& out, const Shape& shape);

/// For every element of `shape`, the element of the output that it goes into when the dimensions
/// `dims` are reduced.
std::vector<int64_t> reduced_index(const Shape& shape, const std::vector<int64_t>& dims);

/// The movement of ops that leave the order of elements as it is.
std::vector<ElementSource> in_order(const OpAttributes& attributes,
                                    const std::vector<Shape>& inputs,
                                    const Shape& output);

/// The movement whose element at `place` (a position along each dimension of the output) is input
/// 0's element at `source(place)`; a negative position there: the op puts in a constant.
std::vector<ElementSource> by_place(
    const Shape& input,
    const Shape& output,
    const std::function<std::vector<int64_t>(const std::vector<int64_t>& place)>& source);

}  // namespace espalier
