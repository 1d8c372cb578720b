// SPDX-License-Identifier: Apache-2.0
/// A price on gates that are open more often, or less often, than they should be.
#pragma once

#include <espalier/autograd/variable.h>

namespace espalier::prune {

/// The mean over G gates of (z - target)^2, z the share of the batch for which a gate is open; open
/// (N,G) with its tape. A scalar. Throws ShapeError. Source: Veit, Belongie, arXiv 1711.11503.
Variable opening_rate_loss(const Variable& open, double target);

}  // namespace espalier::prune
