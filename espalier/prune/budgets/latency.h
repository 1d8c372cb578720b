// SPDX-License-Identifier: Apache-2.0
/// The budget of measured time, and what budgets share. Not a public interface.
#pragma once

#include <functional>
#include <memory>

#include <espalier/nn/plan/plan.h>
#include <espalier/prune/budgets/budget.h>

namespace espalier::prune {

/// Cuts out channels that are all zero, where the network's layers can have other sizes.
void cut_channels(nn::Module& model, const Shape& sample);

/// How long `plan` takes, as a share of the time of `dense`, both for `x`.
using TimeRatio = std::function<double(
    const nn::InferencePlan& plan, const nn::InferencePlan& dense, const Tensor& x)>;

/// The two timed in turns, the median of several ratios.
double time_in_turns(const nn::InferencePlan& plan,
                     const nn::InferencePlan& dense,
                     const Tensor& x);

/// Compiles a network and times it for a batch of samples in turns with `dense`, of which a copy is
/// kept, so that what else the machine does hits both: costs are ratios to it. What was measured is
/// written to `inputs.measurements` at once and read from there when it is asked again, so that a
/// killed run that starts anew decides alike.
std::unique_ptr<Budget> latency_budget(const nn::Module& dense,
                                       const PruneInputs& inputs,
                                       int64_t batch,
                                       TimeRatio time_ratio = time_in_turns);

}  // namespace espalier::prune
