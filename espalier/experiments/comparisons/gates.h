// SPDX-License-Identifier: Apache-2.0
/// What methods are asked for by the options that they have: gates for a share of
/// multiply-accumulates, the others for what a comparison gives to all that know it.
#pragma once

#include <map>
#include <string>

namespace espalier::experiments::comparisons {

/// The method's own sparsity at which about `share` of the multiply-accumulates are left. Channels
/// (of gates and of static methods) leave twice, as outputs of a layer and as inputs of the next: 1
/// - sqrt(share). Gates on positions, whose methods have `parts`, save 1 - 1/parts of a value that
/// they skip.
double sparsity_for_share(const std::string& method, double share);

/// Options of a gated method in a short fine-tuning: `parts`, and thresholds that start at their
/// target.
std::map<std::string, std::string> gate_options(const std::string& method);

/// Those of `options` that a method has.
std::map<std::string, std::string> options_of(const std::string& method,
                                              const std::map<std::string, std::string>& options);

}  // namespace espalier::experiments::comparisons
