// SPDX-License-Identifier: Apache-2.0
/// What gated networks are asked for when they are to execute a given share of
/// multiply-accumulates.
#pragma once

#include <map>
#include <string>

namespace espalier::experiments::comparisons {

/// The method's own sparsity at which about `share` of the multiply-accumulates are left. Channels
/// (`fbs`, and static methods) leave twice, as outputs of a layer and as inputs of the next: 1 -
/// sqrt(share). Channel gating (`cgnet`) saves 1 - 1/parts of a value that it skips.
double sparsity_for_share(const std::string& method, double share);

/// Options of a gated method in a short fine-tuning: thresholds of `cgnet` start at their target.
std::map<std::string, std::string> gate_options(const std::string& method);

}  // namespace espalier::experiments::comparisons
