// SPDX-License-Identifier: Apache-2.0
/// The inverse of an empirical Fisher matrix of blocks, from gradients as they come; float64.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::prune {

/// The inverse of F = damping I + 1/N sum over gradients of g gᵀ of one weight, where only entries
/// of one block (neighbours in memory) have to do with each other. Made by N updates of rank one:
/// F⁻¹ = I / damping; then for every g, u = F⁻¹ g and F⁻¹ -= u uᵀ / (N + gᵀ u). The order of the
/// gradients does not matter but for rounding. Blocks of one entry are the Fisher diagonal.
///
/// Cost     8 entries block bytes; 4 entries block operations a gradient.
/// Threads  blocks are spread; the same bits on any number.
/// Source: Hassibi, Stork, "Second order derivatives for network pruning: optimal brain surgeon",
/// 1992, section 3; Singh, Alistarh, "WoodFisher", arXiv 2004.14340.
class InverseFisher {
 public:
  /// Of a weight with `entries`, before the first of `gradients` gradients. Throws ValueError
  /// unless all numbers are positive.
  InverseFisher(int64_t entries, int64_t block, double damping, int64_t gradients);

  /// Takes in one of the N gradients, `entries` numbers.
  void add(std::span<const double> gradient);

  /// How many there are; the last may be smaller.
  int64_t blocks() const { return (entries_ + block_ - 1) / block_; }
  /// The first entry of a block.
  int64_t begin(int64_t block) const { return block * block_; }
  /// Entries of a block.
  int64_t size(int64_t block) const { return std::min(block_, entries_ - begin(block)); }
  /// A copy of a block's inverse, (size, size), symmetric.
  Tensor inverse(int64_t block) const;

 private:
  int64_t entries_;
  int64_t block_;
  double gradients_;
  std::vector<double> values_;  // blocks of block_ x block_, the last one packed
};

}  // namespace espalier::prune
