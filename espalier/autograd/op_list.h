// SPDX-License-Identifier: Apache-2.0
/// The list of all ops with samples: what the op test suite runs over. Add an op with one line in
/// `ops.inc` and a function `OpInfo <name>_op()` at the end of its file.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/autograd/op_rule.h>
#include <espalier/autograd/variable.h>

namespace espalier {

/// A small example of an op's use. Inputs are float64; the suite also runs it in float32, in
/// `Nchw16n`, on non-contiguous inputs and with other thread counts.
struct OpSample {
  std::string name;            ///< the fact that it shows: `broadcast`
  std::vector<Tensor> inputs;  ///< differentiable inputs, plain float64
  std::function<Variable(const std::vector<Variable>&)> run;  ///< calls the op
  /// Which inputs are activations (N, ..): the suite converts these to `Nchw16n` and expects the
  /// same numbers. Empty when the op is for plain tensors only.
  std::vector<int> activations = {};
  /// True when the result is plain although it has the batch dimension of `Nchw16n` activations.
  bool plain_result = false;
};

/// What the suite checks besides the forward value.
enum class OpGradient : uint8_t {
  Twice,            ///< gradcheck and gradgradcheck
  Once,             ///< gradcheck; create_graph must throw NotImplemented by name
  StraightThrough,  ///< no numeric check; the op has tests of its own
};

/// An op as the suite sees it, and whoever reads a traced network.
struct OpInfo {
  std::string name;                          ///< as in `ops.inc`
  OpRule rule = OpRule::Unsaid;              ///< what it does with elements and channels
  std::vector<std::string> attributes = {};  ///< names of what it tells of its call
  /// Of a movement; of another op, where it only moves elements (the mean of one element).
  Movement movement = {};
  OpGradient gradient = OpGradient::Twice;  ///< how often it can be differentiated
  std::vector<OpSample> samples;            ///< what the suite runs
  /// Float64 reference for the forward value of a sample, computed another way (plain loops over
  /// logical row-major values); empty when the op has hand-worked tests instead.
  std::function<std::vector<double>(const OpSample&)> reference = {};
  /// True for matrix products: BLAS adds in another order when an operand is transposed in memory,
  /// so non-contiguous inputs give the same numbers but for the last bits.
  bool order_depends_on_strides = false;
};

/// All ops, in the order of `ops.inc`.
const std::vector<OpInfo>& op_list();
/// The op of the list with this name; null if there is none.
const OpInfo* find_op(std::string_view name);

/// A plain float64 tensor of pseudo-random numbers in [low, high), the same at every call.
Tensor sample_tensor(const Shape& shape, uint64_t seed, double low = -1.0, double high = 1.0);

}  // namespace espalier
