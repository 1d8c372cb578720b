// SPDX-License-Identifier: Apache-2.0
/// Exact selections of weights, as masks (uint8, contiguous): what forms choose by themselves in
/// every pass. The order is total (size, then flat index).
#pragma once

#include <espalier/core/tensor.h>

namespace espalier::nn {

/// 1 for the k entries of `scores` with the largest magnitude; of equal ones the first. Only where
/// `candidates` (uint8, same shape; undefined: everywhere) is not 0. Throws ValueError when k is
/// not in 0 .. candidates, or a score is not a number.
Tensor largest_mask(const Tensor& scores, int64_t k, const Tensor& candidates = {});

/// N of M along a weight's inputs.
struct NOfM {
  int64_t keep = 2;   ///< N
  int64_t of = 4;     ///< M
  int64_t group = 1;  ///< so many consecutive output channels share their choice
};
/// 1 for the N entries of every M consecutive inputs (dimension 1 of weight (O,I,..), at one place
/// of the kernel) with the largest magnitude, summed over a group of outputs; of equal ones the
/// first. Throws ShapeError unless M divides I, ValueError when a weight is not a number.
Tensor n_of_m_mask(const Tensor& weight, const NOfM& pattern);

}  // namespace espalier::nn
