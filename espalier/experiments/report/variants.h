// SPDX-License-Identifier: Apache-2.0
/// What tells runs of one method apart.
#pragma once

#include <vector>

#include <espalier/experiments/report/runs.h>

namespace espalier::experiments::report {

/// Runs of one network, data set and method that differ in more than sparsity and seed get as their
/// variant the settings that differ and are not the default. What a run.json does not tell, being
/// older than the option, is its default. Runs that have a variant keep it.
/// Runs that nothing tells apart, their seed neither, are numbered: they are never taken for two
/// seeds of one.
void name_variants(std::vector<ReportRun>& runs);

}  // namespace espalier::experiments::report
