// SPDX-License-Identifier: Apache-2.0
/// A network whose weights are made from its widths (nn/forms/generated_weight.h): forms on all
/// weights whose widths may change, and other widths in every step.
#pragma once

#include <memory>

#include <espalier/prune/search/search.h>
#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// Puts forms on all weights that make or read channels that may go; the layers' weights are their
/// c at first.
void put_generated_weights(const Subject& subject, int64_t hidden);

/// In every step of its event each channel group has another width, of the values of `widths`, and
/// its first units are in use: those of one group, of layers that a sum ties together for example,
/// alike. Widths are a function of seed and step.
std::shared_ptr<Action> random_widths(const Gene& widths);

}  // namespace espalier::prune
