// SPDX-License-Identifier: Apache-2.0
/// Sparsity (fraction removed) and Density (fraction kept): two types, so that neither is ever
/// taken for the other. No counting here; see select.h for how a fraction becomes a number of
/// weights.
#pragma once

#include <compare>
#include <cstdint>

#include <espalier/core/error.h>

namespace espalier::prune {

class Density;

/// What the sparsity that a method is asked for is a fraction of.
enum class SparsityOf : uint8_t {
  Weights,   ///< the prunable weights
  Channels,  ///< the channels that may go
  Budget,    ///< another budget than weights, of the dense network's
  Nothing,   ///< no common number: layers have sparsities of their own, or N:M fixes them
};

/// The removed fraction, 0 (dense) .. 1 (nothing left).
class Sparsity {
 public:
  /// Throws ValueError outside of [0, 1] and for NaN.
  explicit constexpr Sparsity(double removed) : removed_(removed) {
    ESPALIER_CHECK(removed >= 0.0 && removed <= 1.0,
                   ValueError,
                   "Sparsity: expects a removed fraction in [0, 1], got ",
                   removed,
                   ". Percent must be divided by 100; a compression ratio r is Sparsity(1 - 1/r).");
  }
  /// The removed fraction.
  constexpr double value() const { return removed_; }
  /// The same as a kept fraction.
  constexpr Density density() const;
  auto operator<=>(const Sparsity&) const = default;

 private:
  double removed_;
};

/// The kept fraction, 0 (nothing left) .. 1 (dense).
class Density {
 public:
  /// Throws ValueError outside of [0, 1] and for NaN.
  explicit constexpr Density(double kept) : kept_(kept) {
    ESPALIER_CHECK(kept >= 0.0 && kept <= 1.0,
                   ValueError,
                   "Density: expects a kept fraction in [0, 1], got ",
                   kept,
                   ". Percent must be divided by 100.");
  }
  /// The kept fraction.
  constexpr double value() const { return kept_; }
  /// The same as a removed fraction.
  constexpr Sparsity sparsity() const { return Sparsity(1.0 - kept_); }
  auto operator<=>(const Density&) const = default;

 private:
  double kept_;
};

/// The same as a kept fraction.
constexpr Density Sparsity::density() const {
  return Density(1.0 - removed_);
}

}  // namespace espalier::prune
