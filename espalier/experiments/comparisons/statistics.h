// SPDX-License-Identifier: Apache-2.0
/// The few statistics that comparisons need.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace espalier::experiments::comparisons {

/// Mean of a sample and how sure it is.
struct Summary {
  int64_t count = 0;
  double mean = 0.0;
  /// Standard deviation with n - 1; none for fewer than two values.
  std::optional<double> deviation;
  /// Of the mean: deviation / sqrt(n).
  std::optional<double> standard_error;
  /// mean / standard error; none without one, infinite when all values are equal but not zero.
  std::optional<double> ratio() const;
};
/// Throws ValueError for no values.
Summary summarize(const std::vector<double>& values);

/// Spearman's rank correlation of equally many values, ties at their mean rank; 0 when all of one
/// side are equal. Throws ValueError for sizes that differ or fewer than two values.
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace espalier::experiments::comparisons
