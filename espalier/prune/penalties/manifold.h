// SPDX-License-Identifier: Apache-2.0
/// Prices by how samples are to each other and by how hard they are. Source: Tang, Wang, Xu, Deng,
/// Xu, Tao, Xu, arXiv 2103.05861.
#pragma once

#include <span>
#include <vector>

#include <espalier/autograd/variable.h>

namespace espalier::prune {

/// ||R(a) - R(b)||^2 / N^2, R the matrix of cosines between the samples of a batch; a (N,A), b
/// (N,B), with their tapes. Rows of zeros are at a right angle to all, themselves included. A
/// scalar. Throws ShapeError.
Variable similarity_loss(const Variable& a, const Variable& b);

/// How much sparser a sample should get: (limit - loss) / limit below the limit, else 0; nothing
/// without a limit above 0. `losses`: of each sample.
std::vector<double> ease_of_samples(std::span<const double> losses, double limit);

}  // namespace espalier::prune
