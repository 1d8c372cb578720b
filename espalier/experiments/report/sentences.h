// SPDX-License-Identifier: Apache-2.0
/// What a report found, in words.
#pragma once

#include <string>
#include <vector>

namespace espalier::experiments::report {

class Report;

/// A sentence for each network and data set, of the first few: how the best pruned network at the
/// highest sparsity stands to the dense one, over how many seeds, and its speed-up where it was
/// timed in turn. Empty without runs.
std::vector<std::string> report_findings(const Report& report);

}  // namespace espalier::experiments::report
