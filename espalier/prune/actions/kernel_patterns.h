// SPDX-License-Identifier: Apache-2.0
/// Kernel patterns (patterns/kernel_pattern.h) in training: the mask update that leaves them, and
/// the two constraints that draw weights there.
#pragma once

#include <memory>

#include <espalier/prune/actions/admm.h>

namespace espalier::prune {

/// Every 3x3 kernel has no weights but those of one arrangement. Binds weights of such kernels.
AdmmConstraint arrangements();

/// Every filter has as few kernels that are not zero as the final sparsity leaves. Binds weights
/// that lose kernels.
AdmmConstraint connectivity();

/// For pattern `kernel-pattern`. At its moments 3x3 kernels keep the arrangement with the largest
/// sum of squares, and then filters the kernels with the largest norms of what those leave. Masks
/// stay from then on; which arrangement a kernel has is not kept beside them. Throws ValueError
/// when that would cut the network. Source: Ma et al., arXiv 1909.05073; Niu et al., arXiv
/// 2001.00138. (kernel_patterns.cpp)
std::shared_ptr<Action> keep_kernel_patterns();

}  // namespace espalier::prune
