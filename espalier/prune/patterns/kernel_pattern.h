// SPDX-License-Identifier: Apache-2.0
/// Kernel patterns: every 3x3 kernel keeps four weights in one of eight arrangements, or none; and
/// every filter of a layer keeps as many kernels as the others.
///
/// Source: Ma et al., arXiv 1909.05073; Niu et al., arXiv 2001.00138. The library is that of the
/// published code of the same group (boone891214/MEST), but for one arrangement there without the
/// centre, which the papers require; the missing one of the T shapes stands in its place.
#pragma once

#include <array>
#include <span>
#include <vector>

#include <espalier/prune/ground/sparsity.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {

/// `kernel-pattern`. Units are single weights; a method arranges them.
class KernelPattern : public Pattern {
 public:
  std::string name() const override { return "kernel-pattern"; }
  Speedup speedup() const override { return Speedup::SemiStructured; }
  Units units(const Shape& weight) const override { return {.count = weight.numel()}; }
};

/// The places, row by row from 0, that each arrangement keeps of nine.
inline constexpr std::array<std::array<int64_t, 4>, 8> kKernelPatterns = {{{4, 5, 7, 8},
                                                                           {3, 4, 6, 7},
                                                                           {1, 2, 4, 5},
                                                                           {0, 1, 3, 4},
                                                                           {1, 3, 4, 5},
                                                                           {3, 4, 5, 7},
                                                                           {1, 4, 5, 7},
                                                                           {1, 3, 4, 7}}};

/// Whether kernels of a weight are 3x3, and so have patterns.
bool has_kernel_patterns(const Shape& weight);

/// 1 for the weights of every 3x3 kernel that the arrangement with the largest sum of squares
/// keeps, of equal ones the first; all ones for other kernels.
std::vector<uint8_t> pattern_mask(std::span<const double> values, const Shape& weight);

/// Kernels that each filter keeps, so that with patterns the fraction S of the weights is gone: of
/// c the number c - floor(c r), r = 1 - (1 - S) 9/4, at least 0, of 3x3 kernels, and S of others.
int64_t kernels_kept(const Shape& weight, Sparsity sparsity);

/// 1 for the weights of the `kept` kernels of every filter that have the largest norms, of equal
/// ones the first.
std::vector<uint8_t> connectivity_mask(std::span<const double> values,
                                       const Shape& weight,
                                       int64_t kept);

}  // namespace espalier::prune
