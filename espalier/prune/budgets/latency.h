// SPDX-License-Identifier: Apache-2.0
/// The budget of measured time, and what budgets share. Not a public interface.
#pragma once

#include <memory>

#include <espalier/prune/budgets/budget.h>

namespace espalier::prune {

/// Cuts out channels that are all zero, where the network's layers can have other sizes.
void cut_channels(nn::Module& model, const Shape& sample);

/// Compiles a network and times it for a batch of samples in turns with `dense`, of which a copy is
/// kept, so that what else the machine does hits both: costs are ratios to it. What was measured is
/// written to `inputs.measurements` at once and read from there when it is asked again, so that a
/// killed run that starts anew decides alike.
std::unique_ptr<Budget> latency_budget(const nn::Module& dense,
                                       const PruneInputs& inputs,
                                       int64_t batch);

}  // namespace espalier::prune
