// SPDX-License-Identifier: Apache-2.0
/// What the programs of the course share: they state facts, print whether each holds, and end with
/// 1 when one does not. Nothing of the library is hidden in here.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <espalier/core/tensor.h>

namespace course {

/// A list of facts, checked as they are stated.
class Facts {
 public:
  /// Prints `what`, and whether it is so.
  void check(bool holds, const std::string& what) {
    std::printf("%s %s\n", holds ? "  ok    " : "  FAILED", what.c_str());
    all_hold_ = all_hold_ && holds;
  }
  /// For `return` in main: 0 when every fact held.
  int exit_code() const { return all_hold_ ? 0 : 1; }

 private:
  bool all_hold_ = true;
};

/// The largest difference between elements of two tensors; infinite when their shapes differ.
inline double largest_difference(const espalier::Tensor& a, const espalier::Tensor& b) {
  if (!(a.shape() == b.shape())) return HUGE_VAL;
  const std::vector<double> left = a.to_vector<double>();
  const std::vector<double> right = b.to_vector<double>();
  double largest = 0.0;
  for (size_t i = 0; i < left.size(); ++i) {
    // Written so that a NaN is returned, and then is below no tolerance.
    const double difference = std::abs(left[i] - right[i]);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

}  // namespace course
