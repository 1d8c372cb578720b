// SPDX-License-Identifier: Apache-2.0
/// Rows of results that tests of comparisons invent.
#pragma once

#include <string>

#include <espalier/experiments/comparisons/findings.h>

namespace espalier::testing {

/// A finished run of a network "net" on "data".
inline experiments::comparisons::RunRow row(const std::string& method,
                                            const std::string& variant,
                                            int64_t seed,
                                            double accuracy) {
  experiments::comparisons::RunRow out;
  out.model = "net";
  out.data = "data";
  out.method = method;
  out.variant = variant;
  out.sparsity_asked = 0.9;
  out.seed = seed;
  out.accuracy = accuracy;
  return out;
}

}  // namespace espalier::testing
