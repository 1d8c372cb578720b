// SPDX-License-Identifier: Apache-2.0
/// Kernel patterns (patterns/kernel_pattern.h) in training: the mask update that leaves them, and
/// the two constraints that draw weights there.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <espalier/prune/actions/admm.h>

namespace espalier::prune {

/// How many kernels the filters of each layer keep in the end: as many as the sparsity leaves, or
/// those at which arrangements and kernels together cost what a target asks, by sizes alone and one
/// kernel more of the filters of one layer after another. Found once for a network.
class KernelNumbers {
 public:
  /// Of the filters of `weight`, for a subject with this sparsity. Throws ValueError for a target
  /// that one kernel of every filter misses.
  int64_t of(const Subject& subject, const nn::NamedParameter& weight, Sparsity sparsity);

 private:
  void meet_target(const Subject& subject);

  std::map<std::string, int64_t> found_;  // of a target
};

/// Every 3x3 kernel has no weights but those of one arrangement. Binds weights of such kernels.
AdmmConstraint arrangements();

/// Every filter has as few kernels that are not zero as the numbers say in the end. Binds weights
/// that lose kernels.
AdmmConstraint connectivity(std::shared_ptr<KernelNumbers> numbers);

/// For pattern `kernel-pattern`. At its moments 3x3 kernels keep the arrangement with the largest
/// sum of squares, and then filters the kernels with the largest norms of what those leave. Masks
/// stay from then on; which arrangement a kernel has is not kept beside them. Throws ValueError
/// when that would cut the network. Source: Ma et al., arXiv 1909.05073; Niu et al., arXiv
/// 2001.00138. (kernel_patterns.cpp)
std::shared_ptr<Action> keep_kernel_patterns(std::shared_ptr<KernelNumbers> numbers);

}  // namespace espalier::prune
