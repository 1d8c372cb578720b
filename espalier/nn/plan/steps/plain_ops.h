// SPDX-License-Identifier: Apache-2.0
/// The ops that a plan runs by their plain form, one sample at a time: what autograd has of them,
/// without a tape. One line each in plain_ops.cpp. Not a public interface.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/autograd/op_attributes.h>
#include <espalier/core/tensor.h>
#include <espalier/sparse/support.h>

namespace espalier::nn::plan {

/// A call of an op, for one sample.
struct PlainCall {
  std::string op = {};                 ///< as on the tape: `softmax`
  OpAttributes attributes = {};        ///< as its file names them
  std::vector<Shape> operands = {};    ///< their shapes, the batch of one sample included
  std::vector<Tensor> constants = {};  ///< by operand; undefined: the next input of the step
  Shape output = {};                   ///< the shape of the result, likewise
  /// Of linear: which weights exist, if its zeros may be skipped; null: it is multiplied densely.
  std::shared_ptr<const sparse::Support> support = {};
  bool masked = false;  ///< linear: its weight has a mask. Of traces, not of files

  /// Whether constants[1] is the weight of a product.
  bool has_weight() const { return op == "linear" && constants.size() > 1; }
  /// The tensor of constants[1]. Only with a weight.
  const Tensor& weight() const { return constants[1]; }
  Tensor& weight() { return constants[1]; }
};

/// The ops, for messages: `abs, add, ..`.
std::string plain_op_names();
/// Whether a plan can run the op so.
bool has_plain_form(std::string_view op);
/// Why the op mixes samples when it is called on a batch with these shapes (of operands that are
/// constants too) and gives `output`; empty: it does not.
std::string why_it_mixes(const PlainCall& call,
                         std::span<const Shape> operands,
                         const Shape& output);
/// Throws ShapeError, ValueError or TypeError for a call that cannot be run, without running it.
void check_plain_call(const PlainCall& call);
/// What the op makes of operands in the shapes of the call, plain float32; constants stand in their
/// places. Allocates. Throws ValueError for ids of an embedding that its table does not have.
Tensor run_plain(const PlainCall& call, const std::vector<Tensor>& operands);

}  // namespace espalier::nn::plan
