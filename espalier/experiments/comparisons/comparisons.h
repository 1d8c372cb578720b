// SPDX-License-Identifier: Apache-2.0
/// The functions behind comparisons.inc: each makes one experiment, in a file of its own name.
#pragma once

#include <espalier/experiments/comparisons/experiment.h>

namespace espalier::experiments::comparisons::list {

#define ESPALIER_EXPERIMENT(name) Experiment name();
#include <espalier/experiments/comparisons/comparisons.inc>
#undef ESPALIER_EXPERIMENT

}  // namespace espalier::experiments::comparisons::list
