// SPDX-License-Identifier: Apache-2.0
/// BlockRule: a decision on a residual block as numbers, for who decides without ops: inference
/// plans (nn/plan). For the block's input x (C,H,W):
///
///   h = relu(V mean over space of x + v)      without V: h = mean over space of x
///   l = W h + b                               of two rows: the second less the first
///   open where l >= least                     a NaN opens
#pragma once

#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::nn {

/// See above.
struct BlockRule {
  Tensor hidden = {};       ///< V, (H,C); undefined: there is none
  Tensor hidden_bias = {};  ///< v, (H)
  Tensor weight = {};       ///< W, (1 or 2, H), or (1 or 2, C) without V
  Tensor bias = {};         ///< b, (1 or 2)
  float least = 0.0F;       ///< the least l that opens
};

/// l of each sample of x (N,C,H,W), in float64 and by plain loops: for who sets thresholds, and as
/// a reference.
std::vector<double> block_logits(const BlockRule& rule, const Tensor& x);

/// The least l for which `step_ste(sigmoid(l) - 1/2)` is 1 in float32. It is a little below 0: what
/// sigmoid rounds to 1/2 is open, and so is an exact tie.
float least_open_logit();

}  // namespace espalier::nn
