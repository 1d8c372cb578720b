// SPDX-License-Identifier: Apache-2.0
/// Exact selection: how a fraction becomes a number, and which k of n items stay. The order is
/// total (score, then flat index), so that no tie is ever decided by a threshold; nothing here
/// knows layers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <espalier/prune/ground/sparsity.h>

namespace espalier::prune {

/// floor and ceil of a product that should be whole: 3 * (1/3.) is 1 and 0.2 * 35 is 7.
int64_t guarded_floor(double x);
/// The same upwards.
int64_t guarded_ceil(double x);

/// Items to remove of n: S*n rounded to the nearest, halves up.
int64_t removed_count(int64_t n, Sparsity sparsity);
/// n - removed_count(n, sparsity).
int64_t kept_count(int64_t n, Sparsity sparsity);

/// Shares a total out in proportion to `wanted`: whole numbers below or next above each wanted
/// value that sum to round(sum of wanted); the largest fractional parts are rounded up, ties in
/// index order.
std::vector<int64_t> apportion(std::span<const double> wanted);

/// Shares a total out in proportion to `parts`, each share between its bounds: what a bound adds or
/// cuts is taken from or given to the others, in the same proportions. A part of 0 gets its lower
/// bound. A total beyond the bounds' sums is cut to them. Throws ShapeError for lists of unequal
/// length.
std::vector<double> share_within(std::span<const double> parts,
                                 std::span<const double> least,
                                 std::span<const double> most,
                                 double total);

/// Marks (1) the k candidates with the highest scores; equal scores: the lower index stays.
/// `candidates` empty means all. Throws ValueError when k is negative or above the number of
/// candidates, or a score is not a number.
std::vector<uint8_t> top_k(std::span<const double> scores,
                           std::span<const uint8_t> candidates,
                           int64_t k);

/// The same, but the candidates that `first` marks go before all others; empty: none does.
std::vector<uint8_t> top_k(std::span<const double> scores,
                           std::span<const uint8_t> candidates,
                           int64_t k,
                           std::span<const uint8_t> first);

/// The same k in every run of `cell` consecutive items, or all candidates of a run that has fewer.
/// Throws ValueError when `cell` does not divide the number of items.
std::vector<uint8_t> top_k_in_cells(std::span<const double> scores,
                                    std::span<const uint8_t> candidates,
                                    int64_t k,
                                    int64_t cell);

}  // namespace espalier::prune
