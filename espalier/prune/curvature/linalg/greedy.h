// SPDX-License-Identifier: Apache-2.0
/// A subset of summands whose sum is small, found greedily, and factors for the others that make up
/// for it; from their Gram matrix, without samples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::prune {

/// Which summands x_c stay, marked 1, when one after another goes, always the one with which the
/// sum of all that are gone has the least norm; `kept` are left. Of equal ones the higher index
/// goes first.
///
/// gram  x_cᵀ x_d or a multiple, float64 (n,n), plain, symmetric positive semidefinite.
/// Source: Luo, Wu, Lin, "ThiNet", arXiv 1707.06342, algorithm 1.
std::vector<uint8_t> least_sum_goes(const Tensor& gram, int64_t kept);

/// The factors b_c of the summands that stay with which ||sum of all x_c - sum of b_c x_c||² is
/// least; 0 for those that are gone. What the matrix leaves open is settled by a slight pull to 1.
/// Source: the same, equation 7.
std::vector<double> factors_of_kept(const Tensor& gram, std::span<const uint8_t> keep);

}  // namespace espalier::prune
